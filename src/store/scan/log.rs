//! What a table's log says of its files.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_optimizer::pruning::PruningStatistics;

/// The log writes times in milliseconds and cuts off what is beyond, so that the latest time of a
/// file may be that much later than the log says.
const CUT: i64 = 999;

/// Statistics of the log as bounds that hold.
pub(super) struct Bounds<S>(pub(super) S);

impl<S: PruningStatistics> PruningStatistics for Bounds<S> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.0.min_values(column)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let values = self.0.max_values(column)?;
        match values.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let times = values.as_primitive_opt::<TimestampMicrosecondType>()?;
                let later = |time: i64| time.saturating_add(CUT);
                let times = times.unary::<_, TimestampMicrosecondType>(later);
                Some(Arc::new(times.with_timezone_opt(zone.clone())))
            }
            DataType::Timestamp(..) => None,
            _ => Some(values),
        }
    }

    fn num_containers(&self) -> usize {
        self.0.num_containers()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.0.null_counts(column)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        self.0.row_counts()
    }

    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        self.0.contained(column, values)
    }
}
