//! What is expected of a token and its keys: the content of `verify.toml`, whose parsing is left
//! to the layer above.

pub mod pack;

use serde::Deserialize;

use super::correlate::Provider;
use super::environment::matches;
use super::uri::Uri;

/// The content of `verify.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which packs of rules on algorithms apply, by name (see [`pack::PACKS`]).
    pub packs: Vec<String>,
    /// Checks without whose pass the token fails, by id or the beginning of ids (`drill.wrap.*`).
    pub required: Vec<String>,
    /// Checks that are not run, written in the same way.
    pub skip: Vec<String>,
    /// Whether the token may be lost: the level `operator` is refused otherwise.
    pub expendable: bool,
    /// Whose audit log the calls should stand in.
    pub provider: Provider,
    /// Limits of time and number.
    pub limits: Limits,
    /// How the module is loaded.
    pub module: ModulePolicy,
    /// What is expected of keys; the first whose `uri` selects a key counts.
    pub key: Vec<KeyPolicy>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            packs: vec!["sp800-131a-r2".to_owned()],
            required: Vec::new(),
            skip: Vec::new(),
            expendable: false,
            provider: Provider::default(),
            limits: Limits::default(),
            module: ModulePolicy::default(),
            key: Vec::new(),
        }
    }
}

/// Limits of time and number.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long one call may take, in seconds.
    pub call_seconds: u64,
    /// After how many seconds no further check is begun.
    pub run_seconds: u64,
    /// How many keys are made in a second at most; 0 for no limit. Cloud HSMs make about one.
    pub creations_per_second: f64,
    /// How many objects are looked at.
    pub objects: usize,
    /// How long another run on the same token is waited for, in seconds.
    pub lock_seconds: u64,
    /// How often a worker that was lost is started again.
    pub restarts: u32,
    /// How many wrong PINs the check of the lock-out spends.
    pub wrong_pins: u32,
    /// How old what another host's run left behind must be to be removed, in seconds.
    pub foreign_orphan_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_seconds: 30,
            run_seconds: 600,
            creations_per_second: 0.0,
            objects: 100_000,
            lock_seconds: 60,
            restarts: 3,
            wrong_pins: 12,
            foreign_orphan_seconds: 3600,
        }
    }
}

/// How the module is loaded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModulePolicy {
    /// The text that `pReserved` of the initialisation points to; NSS wants its parameters there.
    pub reserved: Option<String>,
    /// Further variables of the environment that the module gets to see.
    pub environment: Vec<String>,
}

/// What is expected of a key. What is not named is not judged, save that private and secret keys
/// must be sensitive and not extractable.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the file, named on its own")]
pub struct KeyPolicy {
    /// Which keys.
    pub uri: Uri,
    /// Whether they are exercised at the level `use`.
    pub exercise: bool,
    /// Whether they must be sensitive.
    pub sensitive: bool,
    /// Whether they may leave the token under another key.
    pub extractable: bool,
    /// Whether they must have been made in the token and never have been extractable.
    pub born: bool,
    /// What `CKA_MODIFIABLE` must be.
    pub modifiable: Option<bool>,
    /// What `CKA_COPYABLE` must be.
    pub copyable: Option<bool>,
    /// What `CKA_DESTROYABLE` must be.
    pub destroyable: Option<bool>,
    /// What `CKA_WRAP_WITH_TRUSTED` must be.
    pub wrap_with_trusted: Option<bool>,
    /// What `CKA_ALWAYS_AUTHENTICATE` must be.
    pub always_authenticate: Option<bool>,
    /// Whether `CKA_ALLOWED_MECHANISMS` must name some.
    pub allowed_mechanisms: bool,
    /// Whether the tool may try to wrap the key under a key of its own that nobody knows. A token
    /// that lets it do so makes a ciphertext of the key, which is thrown away unseen.
    pub probe_wrap: bool,
    /// Whether several must release the key together, so that one alone is refused its use.
    pub quorum: bool,
    /// The version before the last rotation, which must still decrypt.
    pub previous: Option<Uri>,
    /// The key's name in the inventory and log of its cloud. Google's library gives it as the key's
    /// id; elsewhere nobody else knows it.
    pub key_id: Option<String>,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            uri: Uri::default(),
            exercise: true,
            sensitive: true,
            extractable: false,
            born: false,
            modifiable: None,
            copyable: None,
            destroyable: None,
            wrap_with_trusted: None,
            always_authenticate: None,
            allowed_mechanisms: false,
            probe_wrap: false,
            quorum: false,
            previous: None,
            key_id: None,
        }
    }
}

/// A policy that asks for what there is not, so that less would be checked than it seems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No such pack.
    #[error("there is no pack {0}; there are: {packs}", packs = packs())]
    Pack(String),
    /// No check has such an id.
    #[error("no check is called {0}")]
    Check(String),
}

fn packs() -> String {
    pack::PACKS.iter().map(|pack| pack.name).collect::<Vec<_>>().join(", ")
}

impl Policy {
    /// Sees that packs and checks that are named exist.
    pub fn check<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<(), PolicyError> {
        let known = |name: &String| pack::PACKS.iter().any(|pack| pack.name == name);
        if let Some(name) = self.packs.iter().find(|name| !known(name)) {
            return Err(PolicyError::Pack(name.clone()));
        }
        let ids: Vec<&str> = ids.collect();
        let mut patterns = self.required.iter().chain(&self.skip);
        let idle = patterns.find(|pattern| !ids.iter().any(|id| matches(pattern, id)));
        idle.map_or(Ok(()), |pattern| Err(PolicyError::Check(pattern.clone())))
    }

    /// Whether a check must pass.
    pub fn requires(&self, id: &str) -> bool {
        self.required.iter().any(|pattern| matches(pattern, id))
    }

    /// Whether a check is left out.
    pub fn skips(&self, id: &str) -> bool {
        self.skip.iter().any(|pattern| matches(pattern, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_from_toml_and_refuses_what_it_does_not_know() {
        let text = r#"
            packs = ["sp800-131a-r2", "cnsa2"]
            required = ["drill.wrap.*"]
            provider = "aws-cloudhsm"
            [limits]
            creations_per_second = 1.0
            [[key]]
            uri = "pkcs11:object=signer;type=private"
            born = true
        "#;
        let policy: Policy = toml::from_str(text).unwrap();
        assert!(policy.requires("drill.wrap.flag") && !policy.requires("drill.read.sensitive"));
        assert_eq!(policy.limits.call_seconds, 30);
        assert!(policy.key[0].sensitive && policy.key[0].born);
        let ids = || ["drill.wrap.flag", "use.sign"].into_iter();
        assert_eq!(policy.check(ids()), Ok(()));
        let typo = Policy { skip: vec!["drill.rap.*".to_owned()], ..Policy::default() };
        assert!(matches!(typo.check(ids()), Err(PolicyError::Check(_))));
        let typo = Policy { packs: vec!["sp800".to_owned()], ..Policy::default() };
        assert!(typo.check(ids()).unwrap_err().to_string().contains("sp800-131a-r2"));
        assert!(toml::from_str::<Policy>("pin = 1").is_err());
        assert!(toml::from_str::<Policy>("[[key]]\nuri = 'pkcs11:?pin-value=1'").is_err());
    }
}
