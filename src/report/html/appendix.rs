//! The appendix: rules as they were run, cited events down to the record, and what identifies the
//! run.

use std::collections::BTreeMap;

use askama::Template;

use super::context::{Capped, Context, event_anchor, finding_anchor, rule_anchor};
use super::findings::anchored;
use super::mark::Pill;
use super::text::{block, set_out};
use super::{ROWS, filters};
use crate::event::sha256_hex;
use crate::finding::{ParamInfo, RuleInfo, RunInfo};
use crate::report::EvidenceRecord;

/// Most characters of a rule's query.
const SQL: usize = 40_000;
/// Most characters of a record; a cloud record is some thousand.
const RAW: usize = 16_000;
/// Most findings that one event names.
const CITING: usize = 12;

#[derive(Template)]
#[template(path = "report/rules.html")]
pub(super) struct Rules<'a> {
    rules: Capped<RuleCard<'a>>,
}

struct RuleCard<'a> {
    anchor: String,
    pill: Pill,
    rule: &'a RuleInfo,
    sql: String,
}

impl<'a> Rules<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let card = |rule: &'a RuleInfo| RuleCard {
            anchor: rule_anchor(&rule.id),
            pill: Pill(rule.severity),
            rule,
            sql: block(&rule.sql, SQL),
        };
        Self { rules: Capped::new(context.data.assessment.rules.iter().map(card), ROWS) }
    }
}

/// Whether a parameter was run with another value than the rule file's.
fn changed(param: &ParamInfo) -> bool {
    param.value != param.default
}

/// Whether a reference may become a link: no other scheme does, whatever a rule file says.
fn is_link(reference: &str) -> bool {
    reference.starts_with("https://")
}

#[derive(Template)]
#[template(path = "report/evidence.html")]
pub(super) struct Evidence<'a> {
    records: Vec<RecordCard<'a>>,
    more: usize,
}

struct RecordCard<'a> {
    anchor: String,
    id: &'a str,
    record: &'a EvidenceRecord,
    digest: String,
    raw: String,
    cited_by: Capped<(&'a str, String)>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let citing = citing(context);
        let evidence = &context.data.evidence;
        let mut chosen: Vec<(&str, &EvidenceRecord)> = evidence
            .iter()
            .map(|(id, record)| (id.as_str(), record))
            .filter(|(id, _)| context.shown.contains(id))
            .collect();
        chosen.sort_by_key(|(id, record)| (record.time, *id));
        let more = evidence.len() - chosen.len();
        let card = |(id, record): (&'a str, &'a EvidenceRecord)| RecordCard {
            anchor: event_anchor(id),
            id,
            record,
            digest: sha256_hex(record.raw.as_bytes()),
            raw: block(&set_out(&record.raw), RAW),
            cited_by: Capped::new(citing.get(id).cloned().unwrap_or_default(), CITING),
        };
        Self { records: chosen.into_iter().map(card).collect(), more }
    }
}

/// By event: the rule and anchor of each finding or undecided result that names it.
fn citing<'a>(context: &Context<'a>) -> BTreeMap<&'a str, Vec<(&'a str, String)>> {
    let mut citing: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::new();
    for result in anchored(&context.data.assessment.results) {
        for id in &result.evidence {
            citing.entry(id).or_default().push((&result.rule, finding_anchor(result)));
        }
    }
    citing
}

#[derive(Template)]
#[template(path = "report/run.html")]
pub(super) struct Run<'a> {
    run: &'a RunInfo,
    command: String,
}

impl<'a> Run<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let run = &context.data.assessment.run;
        Self { run, command: block(&run.command, SQL) }
    }
}
