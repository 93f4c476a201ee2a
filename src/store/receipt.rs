//! Receipts: the rows that reading leaves besides events.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::events::EventRow;
use super::page::FileRead;
use crate::event::batch::{JournalRow, RowKind};
use crate::event::{content_id, sha256_hex, to_hex};
use crate::finding::{Coverage, Period};
use crate::ledger::Frontier;

/// One receipt.
#[derive(Debug, Clone, PartialEq)]
pub enum Receipt {
    /// What reading a source yielded, as counts.
    Source {
        /// The source's name.
        source: String,
        /// Counts and what else is worth keeping; a JSON object.
        content: Value,
    },
    /// A stretch of a ledger that is proven read, or declared to be.
    Coverage(Coverage),
    /// Where reading of a configured source stands, or what it saw: kept with what was read.
    Cursor {
        /// The source's name.
        source: String,
        /// Counts the source's cursors, from 1.
        number: u64,
        /// The source's own JSON.
        cursor: Value,
    },
    /// All cursors of a source up to a number, as the source sums them up: whoever reads this need not
    /// read them.
    Summary {
        /// The source's name.
        source: String,
        /// The number of the newest cursor in it.
        number: u64,
        /// The source's own JSON: fewer cursors that tell the same.
        cursors: Vec<Value>,
    },
    /// One run over a configured source: when, how it ended, what it asked. Together they are the
    /// ledger of polls.
    Poll {
        /// The source's name.
        source: String,
        /// A JSON object.
        content: Value,
    },
    /// Log files of trails that were read to their end, which digests are held against.
    Files(Vec<FileRead>),
    /// A proof file of a provider, kept as it is.
    Proof {
        /// Where it was read from.
        source: String,
        /// What it is: `cloudtrail_digest`.
        kind: String,
        /// The file's content.
        raw: String,
    },
}

impl Receipt {
    /// The row's id. Coverage, files and proofs have the id of their content, so that they are kept
    /// once.
    pub(super) fn id(&self, collected_at: Timestamp) -> String {
        match self {
            Self::Source { source, content } | Self::Poll { source, content } => {
                sha256_hex(format!("{collected_at}\n{source}\n{content}").as_bytes())
            }
            Self::Cursor { source, number, cursor } => {
                sha256_hex(format!("{source}\n{number}\n{cursor}").as_bytes())
            }
            Self::Summary { source, number, cursors } => {
                let content = json!(cursors);
                sha256_hex(format!("{collected_at}\n{source}\n{number}\n{content}").as_bytes())
            }
            Self::Coverage(coverage) => sha256_hex(coverage_json(coverage).to_string().as_bytes()),
            Self::Files(files) => sha256_hex(files_json(files).to_string().as_bytes()),
            Self::Proof { raw, .. } => sha256_hex(raw.as_bytes()),
        }
    }

    pub(super) fn row(&self, collected_at: Timestamp) -> JournalRow {
        let (ledger, source, reason, content, raw) = match self {
            Self::Source { source, content } => {
                ("receipts", source.clone(), "source", content.clone(), None)
            }
            Self::Cursor { source, number, cursor } => {
                let content = json!({"number": number, "cursor": cursor});
                ("receipts", source.clone(), "cursor", content, None)
            }
            Self::Summary { source, number, cursors } => {
                let at = collected_at.to_string();
                let content = json!({"number": number, "at": at, "cursors": cursors});
                ("receipts", source.clone(), "summary", content, None)
            }
            Self::Poll { source, content } => {
                ("receipts", source.clone(), "poll", content.clone(), None)
            }
            Self::Coverage(coverage) => {
                let ledger = coverage.ledger.as_str();
                (ledger, String::new(), "coverage", coverage_json(coverage), None)
            }
            Self::Files(files) => ("receipts", String::new(), "files", files_json(files), None),
            Self::Proof { source, kind, raw } => {
                ("proofs", source.clone(), "proof", json!({ "kind": kind }), Some(raw.clone()))
            }
        };
        JournalRow {
            source,
            raw,
            ..row(ledger, reason, self.id(collected_at), content, collected_at)
        }
    }
}

/// The receipt of a ledger after a commit: its size, root and frontier.
pub(super) fn ledger_row(ledger: &str, frontier: &Frontier, collected_at: Timestamp) -> JournalRow {
    let peaks: Vec<String> = frontier.peaks().iter().map(|hash| to_hex(hash)).collect();
    let content =
        json!({"size": frontier.size(), "root": to_hex(&frontier.root()), "peaks": peaks});
    let id = sha256_hex(format!("{ledger}\n{content}").as_bytes());
    let size = i64::try_from(frontier.size()).ok();
    JournalRow { leaf_index: size, ..row(ledger, "ledger", id, content, collected_at) }
}

/// The receipt that makes a snapshot of inventory visible.
pub(super) fn snapshot_row(snapshot_id: &str, content: Value, at: Timestamp) -> JournalRow {
    row("inventory", "snapshot", snapshot_id.to_owned(), content, at)
}

/// The receipt of a record that came again by another transport with other content.
pub(super) fn variant_row(variant: &EventRow<'_>, collected_at: Timestamp) -> JournalRow {
    let digest = content_id(variant.raw);
    let content = json!({"event_id": variant.id, "sha256": digest});
    let id = sha256_hex(format!("{}\n{digest}", variant.id).as_bytes());
    JournalRow {
        transport: variant.transport.to_owned(),
        source: variant.source.to_owned(),
        ..row(variant.ledger, "variant", id, content, collected_at)
    }
}

fn row(ledger: &str, reason: &str, id: String, content: Value, at: Timestamp) -> JournalRow {
    JournalRow {
        kind: RowKind::Receipt,
        ledger: ledger.to_owned(),
        leaf_index: None,
        row_id: id,
        collected_at: at,
        transport: "file".to_owned(),
        source: String::new(),
        format: None,
        reason: Some(reason.to_owned()),
        message: None,
        place: None,
        receipt: Some(content),
        raw: None,
    }
}

fn files_json(files: &[FileRead]) -> Value {
    let file = |file: &FileRead| json!({"name": file.name, "sha256": file.sha256});
    json!({ "files": files.iter().map(file).collect::<Vec<_>>() })
}

fn coverage_json(coverage: &Coverage) -> Value {
    json!({
        "ledger": coverage.ledger, "region": coverage.region, "kind": coverage.kind,
        "from": coverage.period.from.to_string(), "to": coverage.period.to.to_string(),
        "method": coverage.method, "status": coverage.status, "detail": coverage.detail,
    })
}

/// Reads the content of a coverage receipt; `None` where it is broken.
pub(super) fn read_coverage(content: &str) -> Option<Coverage> {
    let value: Value = serde_json::from_str(content).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Coverage {
        ledger: text("ledger")?,
        region: text("region"),
        kind: text("kind")?,
        period: Period { from: text("from")?.parse().ok()?, to: text("to")?.parse().ok()? },
        method: text("method")?,
        status: text("status")?,
        detail: text("detail"),
    })
}

/// Reads the content of a ledger's receipt; `None` where it is broken.
pub(super) fn read_frontier(content: &str) -> Option<Frontier> {
    let value: Value = serde_json::from_str(content).ok()?;
    let size = value.get("size")?.as_u64()?;
    let peaks = value.get("peaks")?.as_array()?;
    let peaks: Option<Vec<[u8; 32]>> = peaks.iter().map(|peak| hash(peak.as_str()?)).collect();
    Frontier::restore(size, peaks?)
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    (text.len() == 64).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontier_survives_its_receipt() {
        let mut frontier = Frontier::default();
        (0u8..7).for_each(|n| frontier.push([n; 32]));
        let row = ledger_row("aws/1", &frontier, Timestamp::UNIX_EPOCH);
        assert_eq!(row.leaf_index, Some(7));
        assert_eq!(read_frontier(&row.receipt.unwrap().to_string()), Some(frontier));
        assert_eq!(read_frontier("{\"size\":3,\"peaks\":[\"00\"]}"), None);
    }

    #[test]
    fn coverage_survives_its_receipt_and_keeps_its_id() {
        let coverage = Coverage {
            ledger: "aws/1".to_owned(),
            region: None,
            kind: "aws.kms".to_owned(),
            period: Period {
                from: "2026-01-01T00:00:00Z".parse().unwrap(),
                to: "2026-02-01T00:00:00Z".parse().unwrap(),
            },
            method: "declared".to_owned(),
            status: "covered".to_owned(),
            detail: None,
        };
        let receipt = Receipt::Coverage(coverage.clone());
        let row = receipt.row(Timestamp::UNIX_EPOCH);
        assert_eq!(read_coverage(&row.receipt.unwrap().to_string()), Some(coverage));
        assert_eq!(receipt.id(Timestamp::UNIX_EPOCH), receipt.id(Timestamp::MAX));
    }
}
