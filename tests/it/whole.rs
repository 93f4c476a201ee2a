//! What must hold of a store whatever happened to it, read past the store's own code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use jiff::Timestamp;
use keytrail::event::leaf_hash;
use keytrail::pipeline::import::{Import, Imported, import};
use keytrail::store::{Location, Store};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

pub(crate) fn location(folder: &Path) -> Location {
    Location::parse(folder.to_str().unwrap()).unwrap()
}

/// Imports into the store at `folder`, as one process would.
pub(crate) fn import_into(folder: &Path, paths: &[PathBuf]) -> Imported {
    wait(async {
        let mut store = Store::create(location(folder)).await.unwrap();
        let job = Import { paths: paths.to_vec(), ..Import::default() };
        let now: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        import(&mut store, &job, now, &mut |_| true).await.unwrap()
    })
}

/// The rows of the journal as text, read past the store's own code.
pub(crate) fn journal(folder: &Path, sql: &str) -> Vec<Vec<String>> {
    wait(async {
        let url = Url::from_directory_path(folder.join("journal")).unwrap();
        let table = deltalake::open_table(url).await.unwrap();
        let context = SessionContext::new();
        table.update_datafusion_session(&context.state()).unwrap();
        context.register_table("journal", table.table_provider().await.unwrap()).unwrap();
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut rows = Vec::new();
        for batch in batches {
            let options = FormatOptions::default().with_null("null");
            let columns: Vec<ArrayFormatter<'_>> = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
                .collect();
            rows.extend((0..batch.num_rows()).map(|row| {
                columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>()
            }));
        }
        rows
    })
}

pub(crate) fn events(folder: &Path) -> Vec<Vec<String>> {
    journal(
        folder,
        "SELECT ledger, CAST(leaf_index AS VARCHAR) AS leaf, event_id,
                CAST(CAST(time AS BIGINT) AS VARCHAR) AS micros, action, encode(leaf_hash, 'hex') AS hash, raw
         FROM journal WHERE kind = 'event' ORDER BY ledger, leaf_index",
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The definition of RFC 6962, straight: split at the largest power of two below n.
fn root(leaves: &[Vec<u8>]) -> Vec<u8> {
    match leaves {
        [] => Sha256::digest([]).to_vec(),
        [leaf] => leaf.clone(),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            Sha256::digest([&[1u8][..], &root(left), &root(right)].concat()).to_vec()
        }
    }
}

/// Checks every promise about what is visible: ids are single, leaves dense and hashed as
/// documented, and each receipt of a ledger gives the root of its leaves. Gives the event count.
#[track_caller]
pub(crate) fn check_whole(folder: &Path) -> usize {
    let events = events(folder);
    let mut ledgers: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut ids: Vec<&str> = Vec::new();
    for row in &events {
        let [ledger, index, id, _, _, hash, raw] = row.as_slice() else { panic!("{row:?}") };
        let leaves = ledgers.entry(ledger).or_default();
        assert_eq!(*index, leaves.len().to_string(), "{ledger} has a gap or a double leaf");
        let leaf = leaf_hash(ledger, id, raw).to_vec();
        assert_eq!(*hash, hex(&leaf), "{id}");
        leaves.push(leaf);
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "an id stands twice");
    let receipts = journal(folder, "SELECT ledger, details FROM journal WHERE reason = 'ledger'");
    let mut largest: BTreeMap<&str, usize> = BTreeMap::new();
    for receipt in &receipts {
        let content: Value = serde_json::from_str(&receipt[1]).unwrap();
        let size = usize::try_from(content["size"].as_u64().unwrap()).unwrap();
        let leaves = &ledgers[receipt[0].as_str()];
        assert_eq!(content["root"], hex(&root(&leaves[..size])), "{} at {size}", receipt[0]);
        let most = largest.entry(&receipt[0]).or_default();
        *most = size.max(*most);
    }
    for (ledger, leaves) in &ledgers {
        assert_eq!(largest.get(ledger), Some(&leaves.len()), "the newest receipt of {ledger}");
    }
    events.len()
}
