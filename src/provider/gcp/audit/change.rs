//! What a change of a key or version was about, read from its update mask and new values.
//!
//! Enabling, disabling, rotation schedules and labels all come as one method each
//! (`UpdateCryptoKeyVersion`, `UpdateCryptoKey`); only the request tells them apart.

use super::super::proto;
use super::super::resource::ResourceName;
use super::Entry;
use crate::event::{Action, Event};

const ROTATION_FIELDS: &[&str] = &["rotation_period", "next_rotation_time", "rotation_schedule"];

/// What `UpdateCryptoKey` did: a rotation field in the mask makes it a change of the schedule, the
/// period in the mask without a value takes the schedule away. Without a mask the values decide.
pub(super) fn of_key(entry: &Entry<'_>) -> Action {
    let key = proto::field(entry.request, &["cryptoKey"]);
    let period = key.and_then(|key| proto::field(key, &["rotationPeriod"]));
    let removed = match period {
        Some(_) => proto::seconds(entry.request, &["cryptoKey", "rotationPeriod"]) == Some(0),
        None => key.is_some(),
    };
    match update_mask(entry) {
        Some(mask) if names(&mask, &["rotation_period", "rotation_schedule"]) && removed => {
            Action::KeyRotationDisable
        }
        Some(mask) if names(&mask, ROTATION_FIELDS) => Action::KeyRotationChange,
        Some(mask) if !names(&mask, &["*"]) => Action::KeyUpdate,
        _ if period.is_some() => Action::KeyRotationChange,
        _ => Action::KeyUpdate,
    }
}

/// What `UpdateCryptoKeyVersion` did: the new state counts only where the mask names it.
pub(super) fn of_version(entry: &Entry<'_>) -> Action {
    let names_state = update_mask(entry).is_none_or(|mask| names(&mask, &["state", "*"]));
    match proto::text(entry.request, &["cryptoKeyVersion", "state"]) {
        Some("ENABLED") if names_state => Action::KeyEnable,
        Some("DISABLED") if names_state => Action::KeyDisable,
        _ => Action::KeyUpdate,
    }
}

/// Whether the entry itself shows that the version which it made is the key's primary one.
pub(super) fn became_primary(entry: &Entry<'_>) -> bool {
    let made = proto::text(entry.response, &["name"]);
    let primary = [&["response", "primary", "name"], &["metadata", "primary", "name"]]
        .iter()
        .find_map(|path| proto::text(entry.payload, *path));
    // A response that is the key itself carries its new version as `primary`.
    primary.is_some_and(|primary| {
        primary.contains("/cryptoKeyVersions/")
            && made.is_some_and(|made| made == primary || primary.starts_with(&format!("{made}/")))
    })
}

/// Adds the facts of the change that rules need.
pub(super) fn add(event: &mut Event, entry: &Entry<'_>) {
    if let Some(mask) = update_mask(entry) {
        event.detail("update_mask", mask.join(","));
    }
    if event.action == Action::KeyCreate {
        let primary = proto::text(entry.response, &["primary", "name"]).map(ResourceName::parse);
        event.detail("primary_version", primary.and_then(|name| name.id("cryptoKeyVersions")));
    }
    match event.action {
        Action::KeyCreate | Action::KeyRotationChange | Action::KeyRotationDisable => {
            add_rotation(event, entry);
        }
        Action::KeyDeletionSchedule => add_window(event, entry),
        Action::KeyRotate | Action::KeyRotationRequest => {
            let name =
                if event.action == Action::KeyRotate { "primary_version" } else { "new_version" };
            let version = event.key.version.clone();
            event.detail(name, version);
        }
        _ => {}
    }
}

/// The schedule after the change; where it was taken away, only the one before.
fn add_rotation(event: &mut Event, entry: &Entry<'_>) {
    if event.action != Action::KeyRotationDisable {
        let days = proto::days_rounded_up(entry.request, &["cryptoKey", "rotationPeriod"])
            .or_else(|| proto::days_rounded_up(entry.response, &["rotationPeriod"]));
        event.detail("rotation_period_days", days);
        event.detail("next_rotation_time", next_rotation(entry));
    }
    let before = proto::field(entry.payload, &["resourceOriginalState"]);
    if let Some(before) = before {
        let days = proto::days_rounded_up(before, &["rotationPeriod"]);
        event.detail("previous_rotation_period_days", days);
        event.detail("previous_next_rotation_time", proto::text(before, &["nextRotationTime"]));
    }
    let wait = &["cryptoKey", "destroyScheduledDuration"];
    let days = proto::days_rounded_down(entry.request, wait)
        .or_else(|| proto::days_rounded_down(entry.response, &["destroyScheduledDuration"]));
    event.detail("destroy_scheduled_duration_days", days);
}

/// How long the version waits for its destruction. The provider sets the time a moment before or
/// after the entry's, so the difference is rounded to the hour before full days are counted.
fn add_window(event: &mut Event, entry: &Entry<'_>) {
    let Some(destroy) = proto::time(entry.response, &["destroyTime"]) else { return };
    event.detail("destroy_time", destroy.to_string());
    let seconds = destroy.as_second().saturating_sub(event.time.as_second());
    let hours = seconds.saturating_add(1_800).div_euclid(3_600);
    if hours >= 0 {
        event.detail("pending_window_days", hours / 24);
    }
}

fn next_rotation<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    proto::text(entry.request, &["cryptoKey", "nextRotationTime"])
        .or_else(|| proto::text(entry.response, &["nextRotationTime"]))
}

fn update_mask(entry: &Entry<'_>) -> Option<Vec<String>> {
    proto::mask(entry.request, &["updateMask"])
}

/// Whether the mask names one of `fields`, or a part of it.
fn names(mask: &[String], fields: &[&str]) -> bool {
    mask.iter().any(|path| {
        let root = path.split('.').next().unwrap_or(path);
        fields.contains(&root)
    })
}
