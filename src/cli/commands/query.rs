//! `keytrail query`.

use std::io::Write as _;

use arrow::util::pretty::pretty_format_batches;
use jiff::Timestamp;
use serde_json::Value;

use super::super::Exit;
use super::super::args::{Query, QueryFormat};
use super::super::console::Output;
use super::super::failure::Failure;
use crate::pipeline::check::{Check, session};
use crate::rule::to_json;
use crate::settings::Settings;

pub(super) async fn run(args: &Query, settings: &Settings) -> Result<Exit, Failure> {
    let store = super::open(settings).await?;
    let job = Check {
        as_of: args.as_of,
        period: args.period,
        rules_folder: settings.rules.clone(),
        people: settings.people.clone(),
        approvals: settings.approvals.clone(),
        ..Check::default()
    };
    let session = session(&store, &job, Timestamp::now()).await?;
    let batches = session.query(&args.sql).await?;
    let mut out = Output::open(None)?;
    match args.format {
        QueryFormat::Table => {
            let table = pretty_format_batches(&batches).map_err(Failure::job)?.to_string();
            let lines = table.lines().map(super::check::visible).collect::<Vec<_>>();
            writeln!(out, "{}", lines.join("\n"))?;
        }
        QueryFormat::Json => {
            let rows: Vec<Value> = batches.iter().flat_map(to_json).map(Value::Object).collect();
            let text = serde_json::to_string_pretty(&rows).map_err(Failure::job)?;
            writeln!(out, "{text}")?;
        }
        QueryFormat::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            if let Some(batch) = batches.first() {
                let schema = batch.schema();
                csv.write_record(schema.fields().iter().map(|field| field.name()))
                    .map_err(Failure::job)?;
            }
            for row in batches.iter().flat_map(to_json) {
                csv.write_record(row.values().map(cell)).map_err(Failure::job)?;
            }
            csv.flush()?;
        }
    }
    out.finish()?;
    Ok(Exit::Clean)
}

/// A value as a cell: texts as they are, the rest as JSON, null empty. A spreadsheet must not take
/// a field of a log for a formula.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
