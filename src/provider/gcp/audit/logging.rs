//! Changes of Cloud Logging's configuration: sinks, exclusions, buckets, settings.

use super::super::super::Json as _;
use super::super::proto;
use super::Entry;
use crate::event::{Action, Event};

/// What a method is about, by a word in its name.
const OBJECTS: &[(&str, &str)] = &[
    ("Sink", "sink"),
    ("Exclusion", "exclusion"),
    ("Bucket", "bucket"),
    ("Link", "link"),
    ("Cmek", "cmek_settings"),
    ("Settings", "settings"),
    ("DeleteLog", "log"),
];

/// Filters of sinks and exclusions can be long; this much of one is kept in `details`.
const LONGEST_FILTER: usize = 512;

/// A sink that is switched off or on stops or starts logging; else what the table says.
pub(super) fn classify(entry: &Entry<'_>, usual: Action) -> Action {
    let disabled = proto::field(entry.request, &["sink", "disabled"]).and_then(|v| v.flag(&[]));
    let named = proto::mask(entry.request, &["updateMask"])
        .is_some_and(|mask| mask.iter().any(|path| path == "disabled"));
    match (entry.method, disabled) {
        ("UpdateSink", Some(true)) => Action::LoggingStop,
        // A false value is left out of Protobuf JSON.
        ("UpdateSink", Some(false) | None) if named => Action::LoggingStart,
        _ => usual,
    }
}

/// Adds what was changed.
pub(super) fn add(event: &mut Event, entry: &Entry<'_>) {
    if entry.service.name != "logging" {
        return;
    }
    let object = OBJECTS.iter().find(|(word, _)| entry.method.contains(word));
    event.detail("logging_object", object.map(|(_, object)| *object));
    if let Some(mask) = proto::mask(entry.request, &["updateMask"]) {
        event.detail("update_mask", mask.join(","));
    }
    for holder in ["sink", "exclusion", "bucket", "settings", "cmekSettings"] {
        let Some(value) = proto::field(entry.request, &[holder]) else { continue };
        event.detail("destination", proto::text(value, &["destination"]));
        let filter = proto::text(value, &["filter"]);
        event.detail("filter", filter.map(|f| f.chars().take(LONGEST_FILTER).collect::<String>()));
        event.detail("disabled", value.flag(&["disabled"]));
        let days = proto::field(value, &["retentionDays"]).and_then(|days| days.integer(&[]));
        event.detail("retention_days", days);
        event.detail("kms_key_name", proto::text(value, &["kmsKeyName"]));
        let exclusions = proto::items(value, &["exclusions"]).len();
        event.detail("exclusions", (exclusions > 0).then_some(exclusions));
    }
    match entry.method {
        "CreateExclusion" => event.detail("reduces_logging", true),
        "DeleteExclusion" => event.detail("reduces_logging", false),
        _ => {}
    }
}
