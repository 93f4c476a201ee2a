//! Inventory, and runs of `verify`, as rows of their tables.

mod verified;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Store, StoreError, commit};
use crate::event::batch::times;
use crate::event::{Origin, Protection, Provider, schema, sha256_hex};
use crate::finding::verified::Verified;
use crate::provider::inventory::Inventory;

/// The facts of one inventory document, as of a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where it was read from.
    pub source: String,
    /// SHA-256 of the document.
    pub digest: String,
    /// As of when; `None` proves existence only.
    pub captured_at: Option<Timestamp>,
    /// The facts.
    pub inventory: Inventory,
    /// A run of `verify`, in place of inventory.
    pub verified: Option<Verified>,
}

impl Snapshot {
    /// The snapshot's id: the same document as of the same time, read for the same subject, is
    /// kept once.
    pub fn id(&self) -> String {
        let captured = self.captured_at.map(|time| time.to_string()).unwrap_or_default();
        let subjects: Vec<&str> =
            self.inventory.keys.iter().map(|row| row.key_id.as_str()).collect();
        sha256_hex(format!("{}\n{captured}\n{}", self.digest, subjects.join("\n")).as_bytes())
    }

    /// What it says, whenever it was captured: the same document for the same subject has the same.
    pub fn statement(&self) -> String {
        Self { captured_at: None, ..self.clone() }.id()
    }

    pub(super) fn content(&self) -> Value {
        json!({
            "source": self.source, "digest": self.digest, "statement": self.statement(),
            "captured_at": self.captured_at.map(|time| time.to_string()),
            "rows": self.inventory.len() + self.verified.as_ref().map_or(0, |run| run.rows.len()),
        })
    }

    fn batches(&self) -> Result<Vec<(&'static str, RecordBatch)>, StoreError> {
        let inventory = &self.inventory;
        let mut batches = Vec::new();
        for (name, rows, columns) in [
            ("keys", inventory.keys.len(), self.keys()),
            ("key_versions", inventory.key_versions.len(), self.key_versions()),
            ("hsms", inventory.hsms.len(), self.hsms()),
            ("log_settings", inventory.log_settings.len(), self.log_settings()),
        ] {
            if let (Some(schema), true) = (schema::table(name), rows > 0) {
                batches.push((name, RecordBatch::try_new(schema, columns)?));
            }
        }
        if let (Some(run), Some(schema)) = (&self.verified, schema::table("verifications"))
            && !run.rows.is_empty()
        {
            let mut columns = self.head("verifications", owners(run));
            columns.extend(verified::columns(run));
            batches.push(("verifications", RecordBatch::try_new(schema, columns)?));
        }
        Ok(batches)
    }

    /// The columns that every inventory table begins with.
    fn head<'a>(
        &self,
        table: &str,
        owners: impl Iterator<Item = (Provider, Option<&'a str>, Option<&'a str>)> + Clone,
    ) -> Vec<ArrayRef> {
        let id = self.id();
        let short = id.get(..12).unwrap_or(&id).to_owned();
        let owned = |texts: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
        let count = owners.clone().count();
        vec![
            owned(vec![Some(id.clone()); count]),
            times(std::iter::repeat_n(self.captured_at, count)),
            owned((0..count).map(|n| Some(format!("{table}:{short}:{n}"))).collect()),
            text(owners.clone().map(|(provider, _, _)| Some(provider.as_str()))),
            text(owners.clone().map(|(_, account, _)| account)),
            text(owners.map(|(_, _, region)| region)),
        ]
    }

    fn keys(&self) -> Vec<ArrayRef> {
        let rows = &self.inventory.keys;
        let owners = rows.iter().map(|r| (r.provider, r.account.as_deref(), r.region.as_deref()));
        let mut columns = self.head("keys", owners);
        columns.extend([
            text(rows.iter().map(|r| Some(r.key_id.as_str()))),
            text(rows.iter().map(|r| r.key_alias.as_deref())),
            text(rows.iter().map(|r| r.key_group.as_deref())),
            text(rows.iter().map(|r| r.key_spec.as_deref())),
            text(rows.iter().map(|r| r.key_usage.as_deref())),
            text(rows.iter().map(|r| r.state.as_deref())),
            text(rows.iter().map(|r| r.manager.as_deref())),
            text(rows.iter().map(|r| r.origin.map(Origin::as_str))),
            text(rows.iter().map(|r| r.protection.map(Protection::as_str))),
            times(rows.iter().map(|r| r.created_at)),
            times(rows.iter().map(|r| r.deletion_at)),
            times(rows.iter().map(|r| r.expires_at)),
            flags(rows.iter().map(|r| r.rotation_enabled)),
            numbers(rows.iter().map(|r| r.rotation_period_days)),
            times(rows.iter().map(|r| r.next_rotation_at)),
            text(rows.iter().map(|r| r.access.as_deref())),
            details(rows.iter().map(|r| &r.details)),
        ]);
        columns
    }

    fn key_versions(&self) -> Vec<ArrayRef> {
        let rows = &self.inventory.key_versions;
        let owners = rows.iter().map(|r| (r.provider, r.account.as_deref(), r.region.as_deref()));
        let mut columns = self.head("key_versions", owners);
        columns.extend([
            text(rows.iter().map(|r| Some(r.key_id.as_str()))),
            text(rows.iter().map(|r| Some(r.version.as_str()))),
            text(rows.iter().map(|r| r.state.as_deref())),
            flags(rows.iter().map(|r| r.is_primary)),
            times(rows.iter().map(|r| r.created_at)),
            times(rows.iter().map(|r| r.rotated_at)),
            text(rows.iter().map(|r| r.rotation_type.as_deref())),
            times(rows.iter().map(|r| r.expires_at)),
            text(rows.iter().map(|r| r.key_spec.as_deref())),
            text(rows.iter().map(|r| r.protection.map(Protection::as_str))),
            details(rows.iter().map(|r| &r.details)),
        ]);
        columns
    }

    fn hsms(&self) -> Vec<ArrayRef> {
        let rows = &self.inventory.hsms;
        let owners = rows.iter().map(|r| (r.provider, r.account.as_deref(), r.region.as_deref()));
        let mut columns = self.head("hsms", owners);
        columns.extend([
            text(rows.iter().map(|r| Some(r.hsm_id.as_str()))),
            text(rows.iter().map(|r| r.cluster_id.as_deref())),
            text(rows.iter().map(|r| Some(r.kind.as_str()))),
            text(rows.iter().map(|r| r.state.as_deref())),
            text(rows.iter().map(|r| r.hsm_type.as_deref())),
            text(rows.iter().map(|r| r.mode.as_deref())),
            times(rows.iter().map(|r| r.created_at)),
            details(rows.iter().map(|r| &r.details)),
        ]);
        columns
    }

    fn log_settings(&self) -> Vec<ArrayRef> {
        let rows = &self.inventory.log_settings;
        let owners = rows.iter().map(|r| (r.provider, r.account.as_deref(), r.region.as_deref()));
        let mut columns = self.head("log_settings", owners);
        columns.extend([
            text(rows.iter().map(|r| Some(r.setting_id.as_str()))),
            text(rows.iter().map(|r| Some(r.kind.as_str()))),
            text(rows.iter().map(|r| r.resource_id.as_deref())),
            flags(rows.iter().map(|r| r.logs_keys)),
            numbers(rows.iter().map(|r| r.retention_days)),
            details(rows.iter().map(|r| &r.details)),
        ]);
        columns
    }
}

impl Store {
    /// Writes the rows of snapshots, one commit a table; they stay invisible until the journal
    /// names them.
    pub(super) async fn append_inventory(
        &mut self,
        snapshots: &[&Snapshot],
    ) -> Result<(), StoreError> {
        let mut tables: BTreeMap<&'static str, Vec<RecordBatch>> = BTreeMap::new();
        for snapshot in snapshots {
            for (name, batch) in snapshot.batches()? {
                tables.entry(name).or_default().push(batch);
            }
        }
        for (name, batches) in tables {
            let Some(first) = batches.first() else { continue };
            let rows = concat_batches(&first.schema(), &batches)?;
            let missing = || StoreError::Missing { location: format!("{}/{name}", self.location) };
            let table = self.inventory.get_mut(name).ok_or_else(missing)?;
            commit::inventory(&self.location, table, name, rows).await?;
        }
        Ok(())
    }
}

/// The owner of each row of a run.
fn owners(run: &Verified) -> impl Iterator<Item = (Provider, Option<&str>, Option<&str>)> + Clone {
    let of = &run.run;
    run.rows.iter().map(|_| (of.provider, of.account.as_deref(), of.region.as_deref()))
}

fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn flags(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.collect::<BooleanArray>())
}

fn numbers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn details<'a>(values: impl Iterator<Item = &'a Map<String, Value>>) -> ArrayRef {
    let texts =
        values.map(|map| if map.is_empty() { None } else { serde_json::to_string(map).ok() });
    Arc::new(texts.collect::<StringArray>())
}
