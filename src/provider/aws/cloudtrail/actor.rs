//! Who acted, from `userIdentity`.

use super::super::super::Json as _;
use super::super::super::node::Node;
use crate::event::{Actor, ActorKind};

/// Reads the actor. The name is the most personal identity that the record holds: source identity,
/// then an Identity Center user, then a session name, then a user name.
pub(super) fn actor(record: &Node<'_>) -> Actor {
    let user = record.at(&["userIdentity"]);
    let id = |path: &[&str]| user?.string(path);
    let kind = id(&["type"]).unwrap_or_default();
    let session = id(&["arn"]).and_then(|arn| session_name(&arn)).or_else(|| {
        id(&["principalId"]).and_then(|p| p.split_once(':').map(|(_, name)| name.to_owned()))
    });
    let source_identity = id(&["sessionContext", "sourceIdentity"]);
    let on_behalf_of = id(&["onBehalfOf", "userId"]);
    let name = source_identity
        .clone()
        .or_else(|| if kind == "AssumedRole" { session.clone() } else { None })
        .or_else(|| id(&["userName"]))
        .or_else(|| on_behalf_of.clone())
        .or_else(|| id(&["sessionContext", "sessionIssuer", "userName"]))
        .or_else(|| id(&["invokedBy"]));
    Actor {
        id: id(&["arn"]).or_else(|| id(&["principalId"])).or_else(|| id(&["invokedBy"])),
        kind: actor_kind(&kind, record, session.as_deref(), source_identity.is_some()),
        account: id(&["accountId"]),
        on_behalf_of,
        mfa: record.flag(&["userIdentity", "sessionContext", "attributes", "mfaAuthenticated"]),
        name,
    }
}

/// The session name of `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
fn session_name(arn: &str) -> Option<String> {
    let (_, rest) = arn.split_once(":assumed-role/")?;
    rest.rsplit_once('/').map(|(_, session)| session.to_owned())
}

fn actor_kind(kind: &str, record: &Node<'_>, session: Option<&str>, vouched: bool) -> ActorKind {
    let issuer =
        record.text(&["userIdentity", "sessionContext", "sessionIssuer", "arn"]).unwrap_or("");
    let federation = record.text(&[
        "userIdentity",
        "sessionContext",
        "webIdFederationData",
        "federatedProvider",
    ]);
    match kind {
        "Root" => ActorKind::Root,
        "IAMUser" | "SAMLUser" | "IdentityCenterUser" => ActorKind::Human,
        "AWSService" => ActorKind::Service,
        "AssumedRole" if vouched || record.at(&["userIdentity", "onBehalfOf"]).is_some() => {
            ActorKind::Human
        }
        "AssumedRole" if issuer.contains("/aws-service-role/") => ActorKind::Service,
        "AssumedRole" if issuer.contains("AWSReservedSSO_") => ActorKind::Human,
        "AssumedRole" if session.is_some_and(is_email) => ActorKind::Human,
        "AssumedRole" if federation.is_some() => ActorKind::Workload,
        "AssumedRole" if session.is_some_and(|name| name.starts_with("i-")) => ActorKind::Workload,
        // Service events of KMS carry no type at all, only who invoked them.
        "" if record.text(&["userIdentity", "invokedBy"]).is_some() => ActorKind::Service,
        _ => ActorKind::Unknown,
    }
}

/// Whether a name has the form of an e-mail address.
fn is_email(name: &str) -> bool {
    name.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.contains('@') && !name.contains(' ')
    })
}
