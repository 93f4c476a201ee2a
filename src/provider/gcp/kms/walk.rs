//! The way through a project: what is listed where, and what lies below it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::Json as _;
use super::super::super::inventory::InventoryKind;
use super::super::api::Tokens;

/// What a list is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Of {
    #[default]
    Locations,
    Rings,
    Keys,
    Versions,
    Jobs,
    Hsms,
    Proposals,
    Buckets,
}

/// How a list is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    /// The method, for people.
    pub(super) call: &'static str,
    pub(super) permission: &'static str,
    /// Of the API.
    pub(super) version: &'static str,
    /// The last part of the address.
    pub(super) collection: &'static str,
    /// The member of the answer.
    pub(super) member: &'static str,
    pub(super) query: &'static [(&'static str, &'static str)],
    /// What its items are in the inventory.
    pub(super) kind: Option<InventoryKind>,
}

impl Spec {
    const fn new(
        call: &'static str,
        permission: &'static str,
        collection: &'static str,
        member: &'static str,
    ) -> Self {
        let query = &[("pageSize", "500")];
        Self { call, permission, version: "v1", collection, member, query, kind: None }
    }

    const fn of(self, kind: InventoryKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    const fn asked(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }
}

/// What is deleted is shown too: it tells who approved what.
const DELETED_TOO: &[(&str, &str)] = &[("pageSize", "100"), ("showDeleted", "true")];

/// Without the full view, attestations are left out.
const FULL: &[(&str, &str)] = &[("pageSize", "200"), ("view", "FULL")];

const LOCATIONS: Spec =
    Spec::new("cloudkms locations.list", "cloudkms.locations.list", "locations", "locations");
const RINGS: Spec =
    Spec::new("cloudkms keyRings.list", "cloudkms.keyRings.list", "keyRings", "keyRings");
const KEYS: Spec =
    Spec::new("cloudkms cryptoKeys.list", "cloudkms.cryptoKeys.list", "cryptoKeys", "cryptoKeys")
        .of(InventoryKind::GcpKey);
const VERSIONS: Spec = Spec::new(
    "cloudkms cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.list",
    "cryptoKeyVersions",
    "cryptoKeyVersions",
)
.asked(FULL)
.of(InventoryKind::GcpKeyVersion);
const JOBS: Spec =
    Spec::new("cloudkms importJobs.list", "cloudkms.importJobs.list", "importJobs", "importJobs")
        .of(InventoryKind::GcpImportJob);
const HSMS: Spec = Spec::new(
    "cloudkms singleTenantHsmInstances.list",
    "cloudkms.singleTenantHsmInstances.list",
    "singleTenantHsmInstances",
    "singleTenantHsmInstances",
)
.asked(DELETED_TOO)
.of(InventoryKind::GcpHsmInstance);
const PROPOSALS: Spec = Spec::new(
    "cloudkms singleTenantHsmInstanceProposals.list",
    "cloudkms.singleTenantHsmInstanceProposals.list",
    "proposals",
    "singleTenantHsmInstanceProposals",
)
.asked(DELETED_TOO)
.of(InventoryKind::GcpHsmProposal);
const BUCKETS: Spec = Spec {
    version: "v2",
    ..Spec::new("logging buckets.list", "logging.buckets.list", "buckets", "buckets")
        .of(InventoryKind::GcpLogBucket)
};

impl Of {
    /// How it is asked for.
    pub(super) const fn spec(self) -> Spec {
        match self {
            Self::Locations => LOCATIONS,
            Self::Rings => RINGS,
            Self::Keys => KEYS,
            Self::Versions => VERSIONS,
            Self::Jobs => JOBS,
            Self::Hsms => HSMS,
            Self::Proposals => PROPOSALS,
            Self::Buckets => BUCKETS,
        }
    }
}

/// What a key ring's policy grants, for the keys in it; none where it could not be read.
pub(super) type Granted = Option<Arc<Vec<Value>>>;

/// A list that is being read.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) of: Of,
    pub(super) parent: String,
    pub(super) tokens: Tokens,
    granted: Granted,
}

impl Listing {
    /// What is to do about an item called `name`.
    pub(super) fn below(&self, name: &str, iam_policies: bool) -> Vec<Task> {
        let (key, ring) = (name.to_owned(), name.to_owned());
        match self.of {
            Of::Locations => Task::place(name),
            Of::Rings if iam_policies => {
                vec![Task::RingPolicy { ring }, Task::list(Of::Jobs, name.to_owned())]
            }
            Of::Rings => vec![Task::keys(name, None), Task::list(Of::Jobs, ring)],
            Of::Keys if iam_policies => {
                let granted = self.granted.clone();
                vec![Task::list(Of::Versions, name.to_owned()), Task::KeyPolicy { key, granted }]
            }
            Of::Keys => vec![Task::list(Of::Versions, key)],
            Of::Hsms => vec![Task::list(Of::Proposals, key)],
            Of::Versions | Of::Jobs | Of::Proposals | Of::Buckets => Vec::new(),
        }
    }
}

/// One call, or a list.
#[derive(Debug)]
pub(super) enum Task {
    List(Listing),
    /// Who may use the keys of a ring; then the keys.
    RingPolicy {
        ring: String,
    },
    /// Who may use a key.
    KeyPolicy {
        key: String,
        granted: Granted,
    },
    /// What is audited.
    Auditing,
}

impl Task {
    /// A list from its first page on.
    pub(super) fn list(of: Of, parent: String) -> Self {
        Self::List(Listing { of, parent, ..Listing::default() })
    }

    /// The keys of a ring, whose policy grants so much.
    pub(super) fn keys(ring: &str, granted: Option<Vec<Value>>) -> Self {
        let granted = granted.map(Arc::new);
        Self::List(Listing { of: Of::Keys, parent: ring.to_owned(), granted, ..Listing::default() })
    }

    /// What there is in a location.
    pub(super) fn place(location: &str) -> Vec<Self> {
        vec![Self::list(Of::Rings, location.to_owned()), Self::list(Of::Hsms, location.to_owned())]
    }

    /// Whether nothing can be read without it.
    pub(super) fn is_root(&self) -> bool {
        matches!(self, Self::List(list) if list.of == Of::Locations)
    }

    /// Whether a location may not offer it.
    pub(super) fn is_optional(&self) -> bool {
        matches!(self, Self::List(list) if list.of == Of::Hsms)
    }

    /// The keys that are listed also where the policy of their ring could not be read.
    pub(super) fn unread_ring(&self) -> Option<Self> {
        match self {
            Self::RingPolicy { ring } => Some(Self::keys(ring, None)),
            _ => None,
        }
    }
}

/// What a ring's policy grants, marked as such.
pub(super) fn inherited(policy: &Value, ring: &str) -> Vec<Value> {
    let mark = |binding: &Value| {
        let mut binding = binding.clone();
        if let Some(members) = binding.as_object_mut() {
            members.insert("inheritedFrom".to_owned(), Value::from(ring));
        }
        binding
    };
    policy.items(&["bindings"]).iter().map(mark).collect()
}

/// A key's policy with what its ring grants; marked where that is not known.
pub(super) fn effective(mut policy: Value, granted: Option<&[Value]>) -> Value {
    match granted {
        Some(granted) => append(&mut policy, "bindings", granted),
        None => set(&mut policy, "inheritedUnread", Value::Bool(true)),
    }
    policy
}

/// Adds what a level above a project has audited.
pub(super) fn add_audit_configs(policy: &mut Value, other: &Value) {
    append(policy, "auditConfigs", other.items(&["auditConfigs"]));
}

/// Marks a level above a project as one that could not be read.
pub(super) fn add_unread(policy: &mut Value, level: &str) {
    append(policy, "unreadLevels", &[Value::from(level)]);
}

fn append(value: &mut Value, name: &str, items: &[Value]) {
    let mut all = value.items(&[name]).to_vec();
    all.extend_from_slice(items);
    set(value, name, json!(all));
}

fn set(value: &mut Value, name: &str, member: Value) {
    if let Some(members) = value.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
}
