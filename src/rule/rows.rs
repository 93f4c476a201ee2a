//! JSON objects as rows of a table with a known schema, for fixtures and for the lists that people
//! keep. A field that the table lacks, or a value of another type, is an error that names it.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Int32Array, Int64Array, ListBuilder,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};

/// Makes a batch of `rows`. A field that a row lacks is null.
pub(super) fn batch(
    schema: &SchemaRef,
    rows: &[Map<String, Value>],
) -> Result<RecordBatch, String> {
    for row in rows {
        if let Some(name) = row.keys().find(|name| schema.field_with_name(name).is_err()) {
            return Err(format!("there is no column `{name}`"));
        }
    }
    let columns: Result<Vec<ArrayRef>, String> =
        schema.fields().iter().map(|field| column(field, rows)).collect();
    RecordBatch::try_new(Arc::clone(schema), columns?).map_err(|error| error.to_string())
}

/// Reads RFC 3339, or a date as its midnight in UTC.
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let date: Date = text.parse().ok()?;
    date.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
}

fn column(field: &Field, rows: &[Map<String, Value>]) -> Result<ArrayRef, String> {
    let name = field.name();
    Ok(match field.data_type() {
        DataType::Utf8 => Arc::new(StringArray::from(cells(name, rows, "a text", |value| {
            value.as_str().map(str::to_owned)
        })?)),
        DataType::Int64 => {
            Arc::new(Int64Array::from(cells(name, rows, "a whole number", Value::as_i64)?))
        }
        DataType::Int32 => {
            Arc::new(Int32Array::from(cells(name, rows, "a whole number", |value| {
                value.as_i64().and_then(|number| i32::try_from(number).ok())
            })?))
        }
        DataType::Boolean => {
            Arc::new(BooleanArray::from(cells(name, rows, "true or false", Value::as_bool)?))
        }
        DataType::Timestamp(..) => Arc::new(
            TimestampMicrosecondArray::from(cells(name, rows, "a time (RFC 3339)", |value| {
                value.as_str().and_then(read_time).map(Timestamp::as_microsecond)
            })?)
            .with_timezone("UTC"),
        ),
        DataType::Date32 => Arc::new(Date32Array::from(cells(name, rows, "a date", |value| {
            let days = read_time(value.as_str()?)?.as_second().div_euclid(86_400);
            i32::try_from(days).ok()
        })?)),
        DataType::Binary => {
            let bytes = cells(name, rows, "bytes in hex", |value| value.as_str().and_then(unhex))?;
            Arc::new(BinaryArray::from_iter(bytes))
        }
        DataType::List(item) => texts(name, item, rows)?,
        other => return Err(format!("column `{name}` has the type {other}")),
    })
}

fn cells<T>(
    name: &str,
    rows: &[Map<String, Value>],
    kind: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<Option<T>>, String> {
    rows.iter()
        .map(|row| match row.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                read(value).map(Some).ok_or_else(|| format!("`{name}`: {value} is not {kind}"))
            }
        })
        .collect()
}

fn texts(name: &str, item: &Arc<Field>, rows: &[Map<String, Value>]) -> Result<ArrayRef, String> {
    let lists = cells(name, rows, "a list of texts", |value| {
        let items = value.as_array()?.iter();
        items.map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    })?;
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(item));
    for list in lists {
        builder.append_option(list.map(|items| items.into_iter().map(Some)));
    }
    Ok(Arc::new(builder.finish()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits?.chunks(2).map(byte).collect()
}
