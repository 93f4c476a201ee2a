//! How Cloud KMS names its resources, their protection levels and states.
//!
//! A name is a chain of collections and ids (`projects/p/locations/l/keyRings/r/cryptoKeys/k`).
//! The name of a key without its version is the key's identity in events and inventory alike.

use crate::event::{Origin, Protection};

/// The collections in the name of a key ring.
pub(super) const KEY_RING: &[&str] = &["projects", "locations", "keyRings"];
/// The collections in the name of a key.
pub(super) const KEY: &[&str] = &["projects", "locations", "keyRings", "cryptoKeys"];
/// The collections in the name of an import job.
pub(super) const IMPORT_JOB: &[&str] = &["projects", "locations", "keyRings", "importJobs"];
/// The collections in the name of a single-tenant HSM instance.
pub(super) const HSM: &[&str] = &["projects", "locations", "singleTenantHsmInstances"];
/// The collections in the name of a proposal about a single-tenant HSM instance.
pub(super) const PROPOSAL: &[&str] =
    &["projects", "locations", "singleTenantHsmInstances", "proposals"];

/// The collections in the name of a log bucket.
pub(super) const LOG_BUCKET: &[&str] = &["projects", "locations", "buckets"];

/// Names are at most this deep; what follows is not looked at.
const DEEPEST: usize = 8;

/// A resource name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceName<'a> {
    parts: Vec<(&'a str, &'a str)>,
}

impl<'a> ResourceName<'a> {
    /// Takes `name` apart. The full form (`//cloudkms.googleapis.com/projects/…`) is the same name;
    /// a last word without id (`…/cryptoKeyVersions/1/publicKey`) is left out.
    pub(super) fn parse(name: &'a str) -> Self {
        let path = match name.strip_prefix("//") {
            Some(full) => full.split_once('/').map_or("", |(_, path)| path),
            None => name,
        };
        let mut words = path.split('/');
        let mut parts = Vec::new();
        while let (Some(collection), Some(id)) = (words.next(), words.next()) {
            if collection.is_empty() || id.is_empty() || parts.len() == DEEPEST {
                break;
            }
            parts.push((collection, id));
        }
        Self { parts }
    }

    /// The id within `collection`.
    pub(super) fn id(&self, collection: &str) -> Option<&'a str> {
        self.parts.iter().find(|(name, _)| *name == collection).map(|(_, id)| *id)
    }

    /// The name as far as the last of `collections`; `None` when it does not begin with them all.
    pub(super) fn through(&self, collections: &[&str]) -> Option<String> {
        let head = self.parts.get(..collections.len())?;
        let matches = head.iter().zip(collections).all(|((name, _), wanted)| name == wanted);
        let joined = || head.iter().map(|(name, id)| format!("{name}/{id}")).collect::<Vec<_>>();
        matches.then(|| joined().join("/"))
    }

    /// Whether nothing follows the last of `collections`.
    pub(super) fn is_exactly(&self, collections: &[&str]) -> bool {
        self.parts.len() == collections.len() && self.through(collections).is_some()
    }
}

/// The protection level behind the word of the API (`ProtectionLevel`); none where it is unspecified.
pub(super) fn protection(word: &str) -> Option<Protection> {
    match word {
        "PROTECTION_LEVEL_UNSPECIFIED" => None,
        "SOFTWARE" => Some(Protection::Software),
        "HSM" => Some(Protection::Hsm),
        "HSM_SINGLE_TENANT" => Some(Protection::HsmSingleTenant),
        "EXTERNAL" | "EXTERNAL_VPC" => Some(Protection::External),
        _ => Some(Protection::Unknown),
    }
}

/// Where the material of a version came from, as far as the three facts tell: an external version
/// has none here, an imported one names its job, only a generated one has a time of generation.
pub(super) fn origin(
    protection: Option<Protection>,
    imported: bool,
    generated: bool,
) -> Option<Origin> {
    if protection == Some(Protection::External) {
        Some(Origin::External)
    } else if imported {
        Some(Origin::Imported)
    } else {
        generated.then_some(Origin::Generated)
    }
}

/// The common word for the state of a version (`CryptoKeyVersionState`).
pub(super) fn state(word: &str) -> String {
    match word {
        "DESTROY_SCHEDULED" => "pending_deletion".to_owned(),
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "projects/p/locations/us/keyRings/r/cryptoKeys/k/cryptoKeyVersions/7";

    #[test]
    fn a_key_is_named_without_its_version() {
        let key = Some("projects/p/locations/us/keyRings/r/cryptoKeys/k".to_owned());
        let name = ResourceName::parse(NAME);
        assert_eq!(name.through(KEY), key);
        assert_eq!(name.id("cryptoKeyVersions"), Some("7"));
        assert_eq!(name.id("locations"), Some("us"));
        assert!(!name.is_exactly(KEY));
        let full = format!("//cloudkms.googleapis.com/{NAME}/publicKey");
        assert_eq!(ResourceName::parse(&full).through(KEY), key);
    }

    #[test]
    fn what_is_no_key_name_is_not_taken_for_one() {
        for odd in [
            "",
            "/",
            "projects/p",
            "projects//locations/us/keyRings/r/cryptoKeys/k",
            "folders/p/locations/us/keyRings/r/cryptoKeys/k",
            "//x",
            "cryptoKeys/k",
        ] {
            assert_eq!(ResourceName::parse(odd).through(KEY), None, "{odd}");
        }
    }

    #[test]
    fn levels_and_states_have_common_words() {
        assert_eq!(protection("EXTERNAL_VPC"), Some(Protection::External));
        assert_eq!(protection("PROTECTION_LEVEL_UNSPECIFIED"), None);
        assert_eq!(protection("QUANTUM"), Some(Protection::Unknown));
        assert_eq!(state("DESTROY_SCHEDULED"), "pending_deletion");
        assert_eq!(state("PENDING_IMPORT"), "pending_import");
    }

    #[test]
    fn an_origin_is_told_only_by_evidence() {
        assert_eq!(origin(Some(Protection::External), false, true), Some(Origin::External));
        assert_eq!(origin(Some(Protection::Hsm), true, true), Some(Origin::Imported));
        assert_eq!(origin(Some(Protection::Hsm), false, true), Some(Origin::Generated));
        assert_eq!(origin(Some(Protection::Hsm), false, false), None);
    }
}
