//! Creating and opening the Delta tables.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::kernel::{StructField, StructType};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};

use super::disk::{Disk, make_folder};
use super::{Location, StoreError};
use crate::event::schema;

/// The property that carries the schema's version.
const VERSION_PROPERTY: &str = "keytrail.schemaVersion";

/// The journal's columns with statistics. Only these: the log would otherwise hold the smallest
/// and largest raw record of every file.
const STATS: &str = "kind,ledger,leaf_index,event_id,time,collected_at,provider,account,action,\
                     category,key_id,hsm_id,reason";

/// Wraps an error of a table; where the disk refused, it says so and names the path.
pub(super) fn failed(
    action: &'static str,
    table: &str,
) -> impl FnOnce(DeltaTableError) -> StoreError {
    let table = table.to_owned();
    move |source| {
        StoreError::of_disk(&source).unwrap_or_else(|| StoreError::Table {
            action,
            table,
            source: Box::new(source),
        })
    }
}

/// A table that is not loaded yet.
fn builder(location: &Location, name: &str) -> Result<DeltaTableBuilder, StoreError> {
    let url = location.table_url(name)?;
    let builder = DeltaTableBuilder::from_url(url.clone()).map_err(failed("open", name))?;
    Ok(builder.with_storage_backend(Arc::new(Disk::default()), url))
}

/// Creates a table unless it exists.
pub(super) async fn create(location: &Location, name: &str) -> Result<(), StoreError> {
    let probe = builder(location, name)?.build().map_err(failed("create", name))?;
    if probe.verify_deltatable_existence().await.map_err(failed("open", name))? {
        return Ok(());
    }
    make_folder(&location.table_folder(name).join("_delta_log"))?;
    let fields = columns(name)?;
    let mut properties = HashMap::from([
        (VERSION_PROPERTY.to_owned(), Some(schema::SCHEMA_VERSION.to_string())),
        ("delta.enableExpiredLogCleanup".to_owned(), Some("false".to_owned())),
        ("delta.appendOnly".to_owned(), Some("true".to_owned())),
    ]);
    let mut builder = CreateBuilder::new()
        .with_log_store(probe.log_store())
        .with_table_name(name)
        .with_columns(fields)
        .with_save_mode(SaveMode::ErrorIfExists)
        .with_raise_if_key_not_exists(false);
    if name == "journal" {
        let stats = STATS.split_whitespace().collect::<String>();
        properties.insert("delta.dataSkippingStatsColumns".to_owned(), Some(stats));
        builder = builder.with_partition_columns(["event_day"]);
    }
    match builder.with_configuration(properties).await {
        Ok(_) => Ok(()),
        // Another process created it in between.
        Err(_) if probe.verify_deltatable_existence().await.unwrap_or(false) => Ok(()),
        Err(error) => Err(failed("create", name)(error)),
    }
}

fn columns(name: &str) -> Result<Vec<StructField>, StoreError> {
    let unknown = || StoreError::Location {
        location: name.to_owned(),
        detail: "there is no such table".to_owned(),
    };
    let schema = schema::table(name).ok_or_else(unknown)?;
    let converted: StructType = schema.as_ref().try_into_kernel()?;
    Ok(converted.fields().cloned().collect())
}

/// Whether there is such a table.
pub(super) fn exists(location: &Location, name: &str) -> bool {
    location.table_folder(name).join("_delta_log").is_dir()
}

/// Opens a table at a version, or at its newest.
pub(super) async fn open(
    location: &Location,
    name: &str,
    version: Option<i64>,
) -> Result<DeltaTable, StoreError> {
    if !exists(location, name) {
        return Err(StoreError::Missing { location: location.to_string() });
    }
    let mut builder = builder(location, name)?;
    if let Some(version) = version.and_then(|version| u64::try_from(version).ok()) {
        builder = builder.with_version(version);
    }
    let table = builder.load().await.map_err(failed("open", name))?;
    let snapshot = table.snapshot().map_err(failed("open", name))?;
    let found = snapshot.metadata().configuration().get(VERSION_PROPERTY).cloned();
    if found.as_deref() == Some(schema::SCHEMA_VERSION.to_string().as_str()) {
        return Ok(table);
    }
    Err(StoreError::Version {
        table: name.to_owned(),
        found: found.unwrap_or_else(|| "none".to_owned()),
        known: schema::SCHEMA_VERSION,
    })
}
