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

const LIST: Spec = Spec {
    call: "",
    permission: "",
    version: "v1",
    collection: "",
    member: "",
    query: &[("pageSize", "500")],
    kind: None,
};

impl Of {
    /// How it is asked for.
    pub(super) const fn spec(self) -> Spec {
        match self {
            Self::Locations => Spec {
                call: "cloudkms locations.list",
                permission: "cloudkms.locations.list",
                collection: "locations",
                member: "locations",
                ..LIST
            },
            Self::Rings => Spec {
                call: "cloudkms keyRings.list",
                permission: "cloudkms.keyRings.list",
                collection: "keyRings",
                member: "keyRings",
                ..LIST
            },
            Self::Keys => Spec {
                call: "cloudkms cryptoKeys.list",
                permission: "cloudkms.cryptoKeys.list",
                collection: "cryptoKeys",
                member: "cryptoKeys",
                kind: Some(InventoryKind::GcpKey),
                ..LIST
            },
            // Without the full view, attestations are left out.
            Self::Versions => Spec {
                call: "cloudkms cryptoKeyVersions.list",
                permission: "cloudkms.cryptoKeyVersions.list",
                collection: "cryptoKeyVersions",
                member: "cryptoKeyVersions",
                query: &[("pageSize", "200"), ("view", "FULL")],
                kind: Some(InventoryKind::GcpKeyVersion),
                ..LIST
            },
            Self::Jobs => Spec {
                call: "cloudkms importJobs.list",
                permission: "cloudkms.importJobs.list",
                collection: "importJobs",
                member: "importJobs",
                kind: Some(InventoryKind::GcpImportJob),
                ..LIST
            },
            Self::Hsms => Spec {
                call: "cloudkms singleTenantHsmInstances.list",
                permission: "cloudkms.singleTenantHsmInstances.list",
                collection: "singleTenantHsmInstances",
                member: "singleTenantHsmInstances",
                query: &[("pageSize", "100"), ("showDeleted", "true")],
                kind: Some(InventoryKind::GcpHsmInstance),
                ..LIST
            },
            Self::Proposals => Spec {
                call: "cloudkms singleTenantHsmInstanceProposals.list",
                permission: "cloudkms.singleTenantHsmInstanceProposals.list",
                collection: "proposals",
                member: "singleTenantHsmInstanceProposals",
                query: &[("pageSize", "100"), ("showDeleted", "true")],
                kind: Some(InventoryKind::GcpHsmProposal),
                ..LIST
            },
            Self::Buckets => Spec {
                call: "logging buckets.list",
                permission: "logging.buckets.list",
                version: "v2",
                collection: "buckets",
                member: "buckets",
                kind: Some(InventoryKind::GcpLogBucket),
                ..LIST
            },
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
