//! The contract of a rule's query: which columns it gives, and what may stand in them.
//!
//! Texts and lists may be of any Arrow type that holds texts or lists. An empty list may have any
//! item type, since SQL gives `[]` none.
//!
//! Four columns are optional: `ledgers`, whose logs the absences are judged on in place of
//! `<provider>/<account>`; `regions`, in which of them in place of the subject's own (`*` for every one
//! that is known), for a key that is managed elsewhere; `needs`, the kinds of coverage that this subject's absences need in place
//! of the header's, for a subject whose log is another one (a key of a Managed HSM); `attested`,
//! whether the verdict rests on what people declare. Null or empty is as if the column were not
//! there.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::finding::{COVERAGE_KINDS, Period, Status, Subject};

use super::json::values;

/// The columns that every query gives.
const REQUIRED: &[&str] = &[
    "subject_kind",
    "subject_id",
    "provider",
    "account",
    "region",
    "status",
    "reason",
    "message",
    "evidence",
    "evidence_count",
    "inventory_refs",
    "absences",
];

/// The columns that a query may give and that are no facts.
const OPTIONAL: &[&str] = &["ledgers", "regions", "needs", "attested"];

/// How many event ids a result keeps.
const EVIDENCE_KEPT: usize = 100;

/// What a query says about one subject.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) subject: Subject,
    pub(super) status: Status,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) evidence: Vec<String>,
    pub(super) evidence_count: u64,
    pub(super) inventory_refs: Vec<String>,
    pub(super) absences: Vec<Period>,
    /// Whose logs the absences are judged on; empty for the subject's own.
    pub(super) ledgers: Vec<String>,
    /// The regions that the absences are judged in; empty for the subject's own.
    pub(super) regions: Vec<String>,
    /// The kinds of coverage that the absences need; empty for those of the rule's header.
    pub(super) needs: Vec<String>,
    /// Whether the verdict rests on what people attest.
    pub(super) attested: bool,
    pub(super) facts: BTreeMap<String, Value>,
}

/// How a query breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) message: String,
    /// The subject whose row breaks it, where one can be named.
    pub(super) subject: Option<Box<Subject>>,
}

impl Breach {
    fn columns(message: impl Into<String>) -> Self {
        Self { message: message.into(), subject: None }
    }
}

/// Reads the rows of an answer.
pub(super) fn read(batches: &[RecordBatch]) -> Result<Vec<Verdict>, Breach> {
    let mut verdicts = Vec::new();
    let mut seen = BTreeSet::new();
    for batch in batches {
        for verdict in read_batch(batch)? {
            if !seen.insert(verdict.subject.clone()) {
                let Subject { kind, id, .. } = &verdict.subject;
                return Err(Breach {
                    message: format!("the query gives {kind} `{id}` twice; one row a subject"),
                    subject: Some(Box::new(verdict.subject)),
                });
            }
            verdicts.push(verdict);
        }
    }
    Ok(verdicts)
}

/// The columns of one batch, each in the type that is read.
struct Columns {
    texts: BTreeMap<&'static str, Vec<Option<String>>>,
    lists: BTreeMap<&'static str, Vec<Vec<String>>>,
    counts: Vec<Option<i64>>,
    absences: Vec<Option<Vec<Period>>>,
    attested: Vec<Value>,
    facts: Vec<(String, Vec<Value>)>,
}

fn read_batch(batch: &RecordBatch) -> Result<Vec<Verdict>, Breach> {
    let schema = batch.schema();
    let missing: Vec<&str> =
        REQUIRED.iter().filter(|name| schema.field_with_name(name).is_err()).copied().collect();
    if !missing.is_empty() {
        return Err(Breach::columns(format!("the query lacks {}", missing.join(", "))));
    }
    let columns = Columns::read(batch)?;
    (0..batch.num_rows()).map(|row| columns.verdict(row)).collect()
}

impl Columns {
    fn read(batch: &RecordBatch) -> Result<Self, Breach> {
        let mut texts = BTreeMap::new();
        for name in REQUIRED.iter().take_while(|name| **name != "evidence") {
            texts.insert(*name, text_column(name, batch)?);
        }
        let mut lists = BTreeMap::new();
        for name in ["evidence", "inventory_refs", "ledgers", "regions", "needs"] {
            lists.insert(name, list_column(name, batch)?);
        }
        let schema = batch.schema();
        let fact = |(field, column): (&std::sync::Arc<Field>, &ArrayRef)| {
            let name = field.name().as_str();
            let known = REQUIRED.contains(&name) || OPTIONAL.contains(&name);
            (!known).then(|| (name.to_owned(), values(column)))
        };
        Ok(Self {
            texts,
            lists,
            counts: count_column(batch)?,
            absences: absence_column(batch)?,
            attested: flag_column("attested", batch)?,
            facts: schema.fields().iter().zip(batch.columns()).filter_map(fact).collect(),
        })
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        let text = self.texts.get(name).and_then(|column| column.get(row)).cloned().flatten();
        text.filter(|text| !text.is_empty())
    }

    fn list(&self, name: &str, row: usize) -> Vec<String> {
        self.lists.get(name).and_then(|column| column.get(row)).cloned().unwrap_or_default()
    }

    fn verdict(&self, row: usize) -> Result<Verdict, Breach> {
        let text = |name: &str| self.text(name, row);
        let subject = Subject {
            kind: text("subject_kind").unwrap_or_default(),
            id: text("subject_id").unwrap_or_default(),
            provider: text("provider").unwrap_or_default(),
            account: text("account"),
            region: text("region"),
        };
        let breach = |message: String| Breach { message, subject: Some(Box::new(subject.clone())) };
        if subject.id.is_empty() || subject.kind.is_empty() {
            return Err(Breach::columns(format!(
                "row {} has no subject_id or no subject_kind",
                row + 1
            )));
        }
        let word = text("status").unwrap_or_else(|| "null".to_owned());
        let status = Status::parse(&word).filter(|status| *status != Status::Error);
        let status = status.ok_or_else(|| {
            breach(format!(
                "the status of {} `{}` is `{word}`; it must be pass, fail, undetermined or \
                 not_applicable",
                subject.kind, subject.id
            ))
        })?;
        let absences = self.absences.get(row).cloned().flatten().ok_or_else(|| {
            breach(format!("an absence of {} `{}` lacks an end", subject.kind, subject.id))
        })?;
        let needs = self.list("needs", row);
        if let Some(kind) = needs.iter().find(|kind| !COVERAGE_KINDS.contains(&kind.as_str())) {
            return Err(breach(format!(
                "`needs` of {} `{}` names `{kind}`, which is no kind of \
                                       coverage",
                subject.kind, subject.id
            )));
        }
        let mut evidence = self.list("evidence", row);
        let given = self.counts.get(row).copied().flatten().and_then(|n| u64::try_from(n).ok());
        let listed = u64::try_from(evidence.len()).unwrap_or(u64::MAX);
        evidence.truncate(EVIDENCE_KEPT);
        Ok(Verdict {
            status,
            reason: text("reason").unwrap_or_else(|| status.as_str().to_owned()),
            message: text("message").unwrap_or_default(),
            evidence,
            evidence_count: given.unwrap_or(listed).max(listed),
            inventory_refs: self.list("inventory_refs", row),
            absences,
            ledgers: self.list("ledgers", row),
            regions: self.list("regions", row),
            needs,
            attested: self.attested.get(row) == Some(&Value::Bool(true)),
            facts: self.facts(row),
            subject,
        })
    }

    fn facts(&self, row: usize) -> BTreeMap<String, Value> {
        self.facts
            .iter()
            .map(|(name, column)| (name.clone(), column.get(row).cloned().unwrap_or(Value::Null)))
            .collect()
    }
}

fn wrong(name: &str, column: &ArrayRef, wanted: &str) -> Breach {
    Breach::columns(format!("`{name}` is {}; it must be {wanted}", column.data_type()))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

fn text_column(name: &str, batch: &RecordBatch) -> Result<Vec<Option<String>>, Breach> {
    let Some(column) = batch.column_by_name(name) else { return Ok(Vec::new()) };
    if !is_text(column.data_type()) {
        return Err(wrong(name, column, "a text"));
    }
    let texts = cast(column, &DataType::Utf8).map_err(|_| wrong(name, column, "a text"))?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// The lists of a column; null and empty items are left out.
fn list_column(name: &str, batch: &RecordBatch) -> Result<Vec<Vec<String>>, Breach> {
    let Some(column) = batch.column_by_name(name) else { return Ok(Vec::new()) };
    let none = |items: &ArrayRef| items.len() == items.null_count();
    let mut rows = Vec::with_capacity(column.len());
    for items in lists(name, column, "a list of texts")? {
        let Some(items) = items.filter(|items| !none(items)) else {
            rows.push(Vec::new());
            continue;
        };
        if !is_text(items.data_type()) {
            return Err(wrong(name, column, "a list of texts"));
        }
        let texts = cast(&items, &DataType::Utf8).map_err(|_| wrong(name, column, "texts"))?;
        let texts = texts.as_string::<i32>();
        rows.push(
            texts.iter().flatten().filter(|text| !text.is_empty()).map(str::to_owned).collect(),
        );
    }
    Ok(rows)
}

/// The items of each row of a list column of any kind.
fn lists(name: &str, column: &ArrayRef, wanted: &str) -> Result<Vec<Option<ArrayRef>>, Breach> {
    Ok(match column.data_type() {
        DataType::Null => vec![None; column.len()],
        DataType::List(_) => column.as_list::<i32>().iter().collect(),
        DataType::LargeList(_) => column.as_list::<i64>().iter().collect(),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().iter().collect(),
        _ => return Err(wrong(name, column, wanted)),
    })
}

fn count_column(batch: &RecordBatch) -> Result<Vec<Option<i64>>, Breach> {
    let name = "evidence_count";
    let Some(column) = batch.column_by_name(name) else { return Ok(Vec::new()) };
    if !column.data_type().is_integer() && column.data_type() != &DataType::Null {
        return Err(wrong(name, column, "a whole number"));
    }
    let counts = cast(column, &DataType::Int64).map_err(|_| wrong(name, column, "a number"))?;
    Ok(counts.as_primitive::<Int64Type>().iter().collect())
}

fn flag_column(name: &str, batch: &RecordBatch) -> Result<Vec<Value>, Breach> {
    match batch.column_by_name(name) {
        None => Ok(Vec::new()),
        Some(column) if matches!(column.data_type(), DataType::Boolean | DataType::Null) => {
            Ok(values(column))
        }
        Some(column) => Err(wrong(name, column, "true or false")),
    }
}

/// The absences of each row; `None` for a row with an absence that lacks an end.
fn absence_column(batch: &RecordBatch) -> Result<Vec<Option<Vec<Period>>>, Breach> {
    let name = "absences";
    let wanted = "a list of structs with the times `from` and `to`";
    let Some(column) = batch.column_by_name(name) else { return Ok(Vec::new()) };
    let mut rows = Vec::with_capacity(column.len());
    for items in lists(name, column, wanted)? {
        let Some(items) = items.filter(|items| items.len() > items.null_count()) else {
            rows.push(Some(Vec::new()));
            continue;
        };
        let DataType::Struct(_) = items.data_type() else {
            return Err(wrong(name, column, wanted));
        };
        let stretches = items.as_struct();
        let end = |end: &str| stretches.column_by_name(end).and_then(times);
        let (Some(from), Some(to)) = (end("from"), end("to")) else {
            return Err(wrong(name, column, wanted));
        };
        let periods = from.into_iter().zip(to).enumerate();
        let periods = periods.filter(|(index, _)| !stretches.is_null(*index));
        let period = |(_, (from, to)): (usize, (Option<Timestamp>, Option<Timestamp>))| {
            Some(Period { from: from?, to: to? })
        };
        rows.push(periods.map(period).collect());
    }
    Ok(rows)
}

/// The times of a column; `None` where it does not hold times.
pub(super) fn times(column: &ArrayRef) -> Option<Vec<Option<Timestamp>>> {
    if !matches!(column.data_type(), DataType::Timestamp(..) | DataType::Null) {
        return None;
    }
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = cast(column, &utc).ok()?;
    let time = |micros: Option<i64>| micros.and_then(|n| Timestamp::from_microsecond(n).ok());
    Some(times.as_primitive::<TimestampMicrosecondType>().iter().map(time).collect())
}
