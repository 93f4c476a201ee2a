//! Rows of an answer as JSON objects, for facts of a result and for `query --format json`.
//!
//! Times are RFC 3339 in UTC; whole numbers stay exact; what JSON has no form for (intervals,
//! decimals, bytes) is text. A number that is not finite is null.

use datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, StructArray, new_null_array,
};
use datafusion::arrow::compute::{cast, is_null};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The rows of a batch as JSON objects, by column name.
pub fn to_json(batch: &RecordBatch) -> Vec<Map<String, Value>> {
    let columns: Vec<(String, Vec<Value>)> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), values(column)))
        .collect();
    let row = |index: usize| {
        columns
            .iter()
            .map(|(name, values)| (name.clone(), values.get(index).cloned().unwrap_or(Value::Null)))
            .collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Every value of a column.
pub(super) fn values(column: &ArrayRef) -> Vec<Value> {
    match column.data_type() {
        DataType::Null => vec![Value::Null; column.len()],
        DataType::Boolean => column.as_boolean().iter().map(Value::from).collect(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = as_type(column, &DataType::Utf8);
            texts.as_string::<i32>().iter().map(Value::from).collect()
        }
        DataType::UInt64 => column.as_primitive::<UInt64Type>().iter().map(Value::from).collect(),
        kind if kind.is_integer() => {
            let numbers = as_type(column, &DataType::Int64);
            numbers.as_primitive::<Int64Type>().iter().map(Value::from).collect()
        }
        kind if kind.is_floating() => {
            let numbers = as_type(column, &DataType::Float64);
            numbers.as_primitive::<Float64Type>().iter().map(Value::from).collect()
        }
        DataType::Timestamp(..) => times(column),
        DataType::List(_) => column
            .as_list::<i32>()
            .iter()
            .map(|items| items.as_ref().map_or(Value::Null, list))
            .collect(),
        DataType::Struct(_) => structs(column.as_struct()),
        _ => formatted(column),
    }
}

/// A list's items as a JSON list.
fn list(items: &ArrayRef) -> Value {
    Value::Array(values(items))
}

/// Casts between types of one family, which cannot fail; nulls if it should.
fn as_type(column: &ArrayRef, to: &DataType) -> ArrayRef {
    cast(column, to).unwrap_or_else(|_| new_null_array(to, column.len()))
}

fn times(column: &ArrayRef) -> Vec<Value> {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = as_type(column, &utc);
    let text = |micros: Option<i64>| {
        micros
            .and_then(|micros| Timestamp::from_microsecond(micros).ok())
            .map_or(Value::Null, |time| Value::String(time.to_string()))
    };
    times.as_primitive::<TimestampMicrosecondType>().iter().map(text).collect()
}

fn structs(column: &StructArray) -> Vec<Value> {
    let members: Vec<(&str, Vec<Value>)> =
        column.column_names().into_iter().zip(column.columns().iter().map(values)).collect();
    let row = |index: usize| {
        if column.is_null(index) {
            return Value::Null;
        }
        let member = |(name, values): &(&str, Vec<Value>)| {
            ((*name).to_owned(), values.get(index).cloned().unwrap_or(Value::Null))
        };
        Value::Object(members.iter().map(member).collect())
    };
    (0..column.len()).map(row).collect()
}

fn formatted(column: &ArrayRef) -> Vec<Value> {
    let options = FormatOptions::default();
    let Ok(formatter) = ArrayFormatter::try_new(column, &options) else {
        return vec![Value::Null; column.len()];
    };
    let nulls: BooleanArray = is_null(column).unwrap_or_else(|_| vec![false; column.len()].into());
    let text = |index: usize| {
        if nulls.value(index) {
            return Value::Null;
        }
        Value::String(formatter.value(index).to_string())
    };
    (0..column.len()).map(text).collect()
}
