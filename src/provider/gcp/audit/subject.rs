//! Which key, key ring or HSM an entry is about.
//!
//! The name may stand in `resourceName`, in the request or in the response, by method and by how
//! the call ended; the first name of a key wins. The labels of the monitored resource complete it.

use super::super::super::Json as _;
use super::super::proto;
use super::super::resource::{self, ResourceName};
use super::Entry;
use crate::event::{Event, KeyRef, Origin, Protection};

/// What kind of resource an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key or version.
    Key,
    /// A key ring or an import job in it.
    KeyRing,
    /// A single-tenant HSM or a proposal about it.
    Hsm,
    /// A connection to an external key manager.
    KeyStore,
    /// The entry does not tell.
    Unknown,
}

/// What an entry is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The kind of resource.
    pub(super) kind: Kind,
    /// The name of the key, without version.
    pub(super) key: Option<String>,
    /// The id of the version.
    pub(super) version: Option<String>,
    /// The name of the key ring.
    pub(super) ring: Option<String>,
    /// The name of the single-tenant HSM instance.
    pub(super) hsm: Option<String>,
    /// The name of the proposal, import job, or other resource acted on.
    pub(super) object: Option<String>,
    /// The location.
    pub(super) location: Option<String>,
}

/// Where a resource may be named, best first: paths in the payload.
const NAMES: &[&[&str]] = &[
    &["resourceName"],
    &["request", "name"],
    &["request", "resource"],
    &["request", "parent"],
    &["request", "cryptoKey"],
    &["request", "cryptoKey", "name"],
    &["request", "cryptoKeyVersion"],
    &["request", "cryptoKeyVersion", "name"],
    &["response", "name"],
    &["response", "kmsKey"],
];

/// What a request makes below its `parent`: the collection, and the field that holds the new id.
const NEW_IDS: &[(&str, &str)] = &[
    ("cryptoKeys", "cryptoKeyId"),
    ("keyRings", "keyRingId"),
    ("importJobs", "importJobId"),
    ("singleTenantHsmInstances", "singleTenantHsmInstanceId"),
    ("proposals", "singleTenantHsmInstanceProposalId"),
];

/// Where the facts of a key or version may stand, best first: what came out, then what was asked.
const SHAPES: &[&[&str]] = &[
    &["response"],
    &["response", "versionTemplate"],
    &["response", "primary"],
    &["request", "cryptoKey", "versionTemplate"],
    &["request", "cryptoKeyVersion"],
    &["request"],
];

/// Finds what `entry` is about.
pub(super) fn subject(entry: &Entry<'_>) -> Subject {
    let names = names(entry);
    let parsed: Vec<ResourceName<'_>> =
        names.iter().map(|name| ResourceName::parse(name)).collect();
    let first = |path: &[&str]| parsed.iter().find_map(|name| name.through(path));
    let key = first(resource::KEY).or_else(|| key_of_labels(entry));
    let hsm = first(resource::HSM);
    let object = first(resource::PROPOSAL)
        .or_else(|| first(resource::IMPORT_JOB))
        .or_else(|| entry.payload.string(&["resourceName"]))
        .or_else(|| names.first().cloned());
    Subject {
        kind: kind(entry, &names, &parsed),
        version: version(entry, &parsed, key.as_deref()),
        key: key.map(|key| with_project_id(entry, key)),
        ring: first(resource::KEY_RING).map(|ring| with_project_id(entry, ring)),
        hsm: hsm.or_else(|| backend(entry)),
        object,
        location: location(entry, &parsed),
    }
}

/// Every name in the entry, best first, with the names put together from a parent and a new id.
fn names(entry: &Entry<'_>) -> Vec<String> {
    let listed = NAMES.iter().filter_map(|path| proto::text(entry.payload, path));
    let mut names: Vec<String> = listed.map(str::to_owned).collect();
    if let Some(parent) = proto::text(entry.request, &["parent"]) {
        for (collection, field) in NEW_IDS {
            if let Some(id) = proto::text(entry.request, &[field]) {
                names.push(format!("{parent}/{collection}/{id}"));
            }
        }
    }
    let checked = entry.payload.items(&["authorizationInfo"]);
    names.extend(checked.iter().filter_map(|check| check.string(&["resource"])));
    names
}

/// The most exact kind that any of the names tells, else what the checked permission is about.
fn kind(entry: &Entry<'_>, names: &[String], parsed: &[ResourceName<'_>]) -> Kind {
    let any = |path: &[&str]| parsed.iter().any(|name| name.through(path).is_some());
    if any(resource::KEY) || label(entry, "crypto_key_id").is_some() {
        Kind::Key
    } else if any(resource::KEY_RING) {
        Kind::KeyRing
    } else if any(resource::HSM) {
        Kind::Hsm
    } else if names.iter().any(|name| name.contains("/ekmCon")) {
        Kind::KeyStore
    } else {
        let checked = entry.payload.items(&["authorizationInfo"]);
        let permission = checked.iter().find_map(|check| check.text(&["permission"]));
        kind_of_permission(permission.unwrap_or_default())
    }
}

/// `cloudkms.cryptoKeys.setIamPolicy` is about a key.
fn kind_of_permission(permission: &str) -> Kind {
    let collection = permission.strip_prefix("cloudkms.").unwrap_or_default();
    for (start, kind) in [
        ("cryptoKey", Kind::Key),
        ("keyRings", Kind::KeyRing),
        ("importJobs", Kind::KeyRing),
        ("autokey", Kind::KeyRing),
        ("singleTenantHsm", Kind::Hsm),
        ("ekm", Kind::KeyStore),
    ] {
        if collection.starts_with(start) {
            return kind;
        }
    }
    Kind::Unknown
}

/// The version within `key`: the one that was made primary, else the first one that is named.
fn version(entry: &Entry<'_>, parsed: &[ResourceName<'_>], key: Option<&str>) -> Option<String> {
    if let Some(primary) = proto::text(entry.request, &["cryptoKeyVersionId"]) {
        return Some(primary.to_owned());
    }
    let named = parsed.iter().find_map(|name| {
        let version = name.id("cryptoKeyVersions")?;
        (name.through(resource::KEY).as_deref() == key).then(|| version.to_owned())
    });
    // The version may be named only as the primary one of the key that came back.
    let made = || {
        let primary = proto::text(entry.response, &["primary", "name"])?;
        ResourceName::parse(primary).id("cryptoKeyVersions").map(str::to_owned)
    };
    let label = || label(entry, "crypto_key_version_id").map(str::to_owned);
    let by_method = || match entry.method {
        "CreateCryptoKeyVersion" | "UpdateCryptoKeyPrimaryVersion" => made(),
        _ => None,
    };
    key.and_then(|_| named.or_else(by_method).or_else(label))
}

/// The key that the labels of the monitored resource name (`cloudkms_cryptokey`,
/// `cloudkms_cryptokeyversion`).
fn key_of_labels(entry: &Entry<'_>) -> Option<String> {
    Some(format!(
        "projects/{}/locations/{}/keyRings/{}/cryptoKeys/{}",
        label(entry, "project_id")?,
        label(entry, "location")?,
        label(entry, "key_ring_id")?,
        label(entry, "crypto_key_id")?
    ))
}

fn label<'a>(entry: &Entry<'a>, name: &str) -> Option<&'a str> {
    let about_kms = entry.envelope.text(&["resource", "type"])?.starts_with("cloudkms_");
    if about_kms { entry.envelope.text(&["resource", "labels", name]) } else { None }
}

/// A caller may name the project by its number; the label holds the id that inventory uses. The
/// key is the same, so it must have one name.
fn with_project_id(entry: &Entry<'_>, name: String) -> String {
    let Some((number, rest)) = name.strip_prefix("projects/").and_then(|n| n.split_once('/'))
    else {
        return name;
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let ring = ResourceName::parse(&name).id("keyRings");
    match label(entry, "project_id") {
        Some(id) if is_number && ring == label(entry, "key_ring_id") => {
            format!("projects/{id}/{rest}")
        }
        _ => name,
    }
}

/// The single-tenant HSM instance that a key is made in.
fn backend(entry: &Entry<'_>) -> Option<String> {
    [&["response", "cryptoKeyBackend"][..], &["request", "cryptoKey", "cryptoKeyBackend"]]
        .iter()
        .find_map(|path| proto::text(entry.payload, path))
        .and_then(|name| ResourceName::parse(name).through(resource::HSM))
}

fn location(entry: &Entry<'_>, parsed: &[ResourceName<'_>]) -> Option<String> {
    let places = entry.payload.items(&["resourceLocation", "currentLocations"]);
    parsed
        .iter()
        .find_map(|name| name.id("locations"))
        .or_else(|| places.iter().find_map(|place| place.text(&[])))
        .or_else(|| label(entry, "location"))
        .map(str::to_owned)
}

/// The key's facts, as far as this entry holds them; none where it is about no one key.
fn key(entry: &Entry<'_>, subject: &Subject) -> KeyRef {
    if subject.key.is_none() {
        return KeyRef::default();
    }
    let shapes = || SHAPES.iter().filter_map(|path| proto::field(entry.payload, path));
    let protection = shapes()
        .find_map(|shape| proto::text(shape, &["protectionLevel"]))
        .and_then(resource::protection);
    KeyRef {
        id: subject.key.clone(),
        version: subject.version.clone(),
        spec: shapes().find_map(|shape| proto::text(shape, &["algorithm"])).map(str::to_owned),
        protection,
        origin: origin(entry, protection),
        ..KeyRef::default()
    }
}

fn origin(entry: &Entry<'_>, protection: Option<Protection>) -> Option<Origin> {
    let made = [&["response"][..], &["response", "primary"]];
    let any = |name: &str| {
        made.iter()
            .filter_map(|path| proto::field(entry.payload, path))
            .any(|made| proto::text(made, &[name]).is_some())
    };
    let imports = entry.method.starts_with("Import");
    resource::origin(protection, imports || any("importJob"), any("generateTime"))
}

/// Puts what the entry is about into `event`.
pub(super) fn add(event: &mut Event, entry: &Entry<'_>, subject: Subject) {
    if entry.service.whole {
        event.key = key(entry, &subject);
        event.detail("key_ring", subject.ring.clone());
    }
    event.hsm_id = subject.hsm;
    event.target = match subject.kind {
        Kind::Key if event.key.id.is_some() => None,
        Kind::KeyRing if event.action.category() != "material" => subject.ring.or(subject.object),
        _ => subject.object,
    };
}
