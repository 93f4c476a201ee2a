//! Questions to Log Analytics, and the rows of its answers as records.
//!
//! The raw record of a row is defined as the JSON object of its columns, sorted by name, each value
//! byte for byte as it was answered, without those that are null or empty: the answer writes columns
//! and rows apart, in an order that is the table's, and a column that is added to a table later must
//! not change the records of before. The mappers read these spellings.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::super::http::Answer;
use super::super::super::source::SourceError;
use super::super::api::{Ask, answered, parse, unexpected};
use super::super::record::{member, text};
use crate::event::Format;
use crate::finding::Period;

/// A table that holds logs of keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What its rows are.
    pub(super) format: Format,
    /// Rows of it that are ours, where others stand in it too.
    condition: Option<&'static str>,
}

/// Audit events of vaults and Managed HSMs: the table of their own, and the one that diagnostic
/// settings in the older mode write. Both may exist side by side.
pub(super) const KEY_VAULT: &[Table] = &[
    Table { name: "AZKVAuditLogs", format: Format::AzureKeyVault, condition: None },
    Table {
        name: "AzureDiagnostics",
        format: Format::AzureKeyVault,
        condition: Some("ResourceProvider =~ 'MICROSOFT.KEYVAULT' and Category =~ 'AuditEvent'"),
    },
];

/// Operations of Cloud HSM clusters.
pub(super) const CLOUD_HSM: &[Table] = &[
    Table {
        name: "CloudHsmServiceOperationAuditLogs",
        format: Format::AzureCloudHsm,
        condition: None,
    },
    Table {
        name: "CloudHsmHardwareOperationAuditLogs",
        format: Format::AzureCloudHsm,
        condition: None,
    },
    Table { name: "CHSMManagementAuditLogs", format: Format::AzureCloudHsm, condition: None },
];

/// What is asked of each table.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    /// The subscription whose rows are wanted.
    pub(super) subscription: &'a str,
    /// Parts of the resource ids that are wanted.
    pub(super) resources: &'a [&'static str],
    /// When what the rows tell happened.
    pub(super) period: Period,
    /// Rows that came to the workspace before are not wanted.
    pub(super) ingested_from: Option<Timestamp>,
    /// One row more than this tells that there are more.
    pub(super) most: usize,
}

impl Question<'_> {
    /// The query in KQL. Everything in it is a name of ours, a checked id or a time.
    pub(super) fn text(&self, table: &Table) -> String {
        let Period { from, to } = self.period;
        let mut lines = vec![
            table.name.to_owned(),
            format!("where TimeGenerated >= datetime({from}) and TimeGenerated < datetime({to})"),
            format!("where _SubscriptionId =~ '{}'", self.subscription),
        ];
        lines.extend(table.condition.map(|condition| format!("where {condition}")));
        let named: Vec<String> =
            self.resources.iter().map(|part| format!("_ResourceId contains '{part}'")).collect();
        lines.push(format!("where {}", named.join(" or ")));
        lines.extend(
            self.ingested_from.map(|from| format!("where ingestion_time() >= datetime({from})")),
        );
        lines.push(format!("take {}", self.most + 1));
        lines.join("\n| ")
    }
}

/// What an answer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// All rows, as records.
    All(Vec<String>),
    /// There are more than fit into an answer.
    TooMany,
    /// There is no such table.
    NoTable,
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    tables: Vec<Part<'a>>,
    /// Set, with status 200, where a query broke off after rows had been sent.
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Part<'a> {
    name: String,
    columns: Vec<Column>,
    #[serde(borrow)]
    rows: Vec<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

/// Reads an answer; one that says that it is partial is never taken for whole.
pub(super) fn rows(ask: &Ask, answer: &Answer, most: usize) -> Result<Rows, SourceError> {
    let answered: Answered<'_> = parse(ask, answer)?;
    if let Some(error) = answered.error {
        return if is_about_size(&error.to_string()) {
            Ok(Rows::TooMany)
        } else {
            let shown: String = error.to_string().chars().take(300).collect();
            Err(unexpected(ask, format!("the query broke off: {shown}")))
        };
    }
    let part = answered.tables.iter().find(|part| part.name == "PrimaryResult");
    let part = part.ok_or_else(|| unexpected(ask, "there is no table PrimaryResult"))?;
    if part.rows.len() > most {
        return Ok(Rows::TooMany);
    }
    part.rows
        .iter()
        .map(|row| record(ask, &part.columns, row))
        .collect::<Result<_, _>>()
        .map(Rows::All)
}

/// One row as a JSON object.
fn record(ask: &Ask, columns: &[Column], row: &[&RawValue]) -> Result<String, SourceError> {
    if columns.len() != row.len() {
        return Err(unexpected(ask, "a row has other columns than its table"));
    }
    let is_empty = |value: &&RawValue| matches!(value.get(), "null" | "\"\"");
    let mut members: Vec<(&str, &RawValue)> = columns
        .iter()
        .map(|column| column.name.as_str())
        .zip(row.iter().copied())
        .filter(|(_, value)| !is_empty(value))
        .collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("{}:{}", Value::from(name), value.get()))
        .collect();
    Ok(format!("{{{}}}", members.join(",")))
}

/// What a refused query means.
pub(super) fn refused(error: SourceError, table: &Table) -> Result<Rows, SourceError> {
    let known = match answered(&error) {
        Some((400, detail)) if is_missing(detail, table) => Some(Rows::NoTable),
        Some((504, _)) => Some(Rows::TooMany),
        Some((_, detail)) if is_about_size(detail) => Some(Rows::TooMany),
        _ => None,
    };
    known.ok_or(error)
}

/// A table into which nothing was ever written does not exist. The same code is given for columns
/// that do not exist, which is an error.
fn is_missing(detail: &str, table: &Table) -> bool {
    detail.contains("SEM0100")
        && detail.contains("Failed to resolve table")
        && detail.contains(&format!("'{}'", table.name))
}

/// Whether an error says that the result is over a limit: 500,000 rows, 64 MB, or what one query may
/// use ("Azure Monitor service limits").
fn is_about_size(error: &str) -> bool {
    const WORDS: &[&str] = &[
        "E_QUERY_RESULT_SET_TOO_LARGE",
        "ResponsePayloadTooLarge",
        "result set",
        "truncat",
        "E_RUNAWAY_QUERY",
        "E_LOW_MEMORY_CONDITION",
        "ResponseSizeError",
    ];
    WORDS.iter().any(|word| error.contains(word))
}

/// A member of a resource's `properties`, as text.
pub(super) fn property<'v>(resource: &'v Value, name: &str) -> Option<Cow<'v, str>> {
    let found = member(member(resource, "properties")?, name)?;
    text(found).map(Cow::Borrowed).or_else(|| Some(Cow::Owned(found.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::{Context, Mapped, normalize};
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    fn read(body: &Value, most: usize) -> Result<Rows, SourceError> {
        let body = Bytes::from(body.to_string());
        let answer = Answer { status: 200, headers: http::HeaderMap::new(), body };
        rows(&Ask::new("azure:Query", "x"), &answer, most)
    }

    fn table(columns: &[&str], rows: &Value) -> Value {
        let columns: Vec<Value> =
            columns.iter().map(|name| json!({"name": name, "type": "string"})).collect();
        json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]})
    }

    #[test]
    fn a_row_is_an_object_whatever_the_order_of_columns_and_whatever_is_empty() {
        let one = table(&["b", "a", "c"], &json!([[1, "x", null]]));
        let two = table(&["a", "d", "b"], &json!([["x", "", 1]]));
        let expected = Rows::All(vec!["{\"a\":\"x\",\"b\":1}".to_owned()]);
        assert_eq!(read(&one, 5).unwrap(), expected);
        assert_eq!(read(&two, 5).unwrap(), expected);
    }

    #[test]
    fn a_partial_answer_is_never_whole() {
        let mut answer = table(&["a"], &json!([[1]]));
        answer["error"] = json!({"code": "PartialError", "details":
            [{"code": "E_QUERY_RESULT_SET_TOO_LARGE"}]});
        assert_eq!(read(&answer, 5).unwrap(), Rows::TooMany);
        answer["error"] = json!({"code": "PartialError", "message": "a shard was not reached"});
        assert!(read(&answer, 5).is_err());
        assert_eq!(read(&table(&["a"], &json!([[1], [2]])), 1).unwrap(), Rows::TooMany);
        assert!(read(&json!({"tables": []}), 5).is_err());
        assert!(read(&table(&["a", "b"], &json!([[1]])), 5).is_err());
        let failed = json!({"tables": [{"name": "PrimaryResult", "columns": [{"name": "a"}],
            "rows": [[1], {"OneApiErrors": []}]}]});
        assert!(read(&failed, 5).is_err());
    }

    #[test]
    fn only_a_table_that_is_named_is_missing() {
        let error = |status, detail: &str| SourceError::Answer {
            call: "q".to_owned(),
            status,
            detail: detail.to_owned(),
        };
        let [own, older] = KEY_VAULT else { panic!() };
        let missing = "BadArgumentError/SemanticError/SEM0100: 'where' operator: Failed to resolve \
            table or column expression named 'AZKVAuditLogs'";
        assert_eq!(refused(error(400, missing), own).unwrap(), Rows::NoTable);
        assert!(refused(error(400, missing), older).is_err());
        let column = "SEM0100: 'where' operator: Failed to resolve scalar expression named '_SubscriptionId'";
        assert!(refused(error(400, column), own).is_err());
        assert_eq!(refused(error(504, "GatewayTimeout"), own).unwrap(), Rows::TooMany);
        assert!(refused(error(404, "WorkspaceNotFoundError"), own).is_err());
    }

    #[test]
    fn the_mapper_takes_a_row() {
        let vault = "/subscriptions/5a/resourcegroups/r/providers/microsoft.keyvault/vaults/pay";
        let columns = [
            "TenantId",
            "TimeGenerated",
            "OperationName",
            "ResultType",
            "HttpStatusCode",
            "Identity",
            "RequestUri",
            "Id",
            "_ResourceId",
            "Type",
        ];
        let row = json!([[
            "t",
            "2026-10-02T09:06:13.8719275Z",
            "KeySign",
            "Success",
            403,
            "{\"claim\":{\"oid\":\"o-1\"}}",
            "https://pay.vault.azure.net/keys/k/1/sign",
            "https://pay.vault.azure.net/keys/k/1",
            vault,
            "AZKVAuditLogs"
        ]]);
        let Rows::All(records) = read(&table(&columns, &row), 5).unwrap() else { panic!() };
        let mapped = normalize(Format::AzureKeyVault, &records[0], &Context::default()).unwrap();
        let Mapped::Event(event) = mapped else { panic!("{mapped:?}") };
        assert_eq!(event.ledger, "azure/5a");
        assert_eq!(event.key.id.as_deref(), Some("https://pay.vault.azure.net/keys/k"));
        assert_eq!(event.outcome, crate::event::Outcome::Denied);
        assert_eq!(event.actor.id.as_deref(), Some("o-1"));
    }

    #[test]
    fn a_query_names_time_owner_and_resources() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let question = Question {
            subscription: "5a",
            resources: &["/vaults/", "/managedhsms/"],
            period: Period { from: at("2026-01-01T00:00:00Z"), to: at("2026-01-02T00:00:00.5Z") },
            ingested_from: Some(at("2026-01-03T00:00:00Z")),
            most: 10,
        };
        let [_, older] = KEY_VAULT else { panic!() };
        assert_eq!(
            question.text(older),
            "AzureDiagnostics\n\
            | where TimeGenerated >= datetime(2026-01-01T00:00:00Z) and TimeGenerated < datetime(2026-01-02T00:00:00.5Z)\n\
            | where _SubscriptionId =~ '5a'\n\
            | where ResourceProvider =~ 'MICROSOFT.KEYVAULT' and Category =~ 'AuditEvent'\n\
            | where _ResourceId contains '/vaults/' or _ResourceId contains '/managedhsms/'\n\
            | where ingestion_time() >= datetime(2026-01-03T00:00:00Z)\n\
            | take 11"
        );
    }
}
