//! Who acted, from the claims of the token that Azure logged.
//!
//! The claims come in three spellings: short names (`oid`, `upn`), URIs
//! (`http://schemas.microsoft.com/identity/claims/objectidentifier`), and, from Managed HSM, the
//! URIs with their dots and slashes turned into underscores and nesting.

use serde_json::Value;

use super::super::Json as _;
use crate::event::{Actor, ActorKind};

/// Where a claim may stand, best first.
type Places = &'static [&'static [&'static str]];

const OBJECT_ID: Places = &[
    &["oid"],
    &["http://schemas.microsoft.com/identity/claims/objectidentifier"],
    &["http_schemas_microsoft_com_identity", "claims", "objectidentifier"],
    &["http_schemas_microsoft_com_identity_claims_objectidentifier"],
];

const USER_NAME: Places = &[
    &["upn"],
    &["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"],
    &["http_schemas_xmlsoap_org_ws_2005_05_identity", "claims", "upn"],
    &["http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn"],
    &["unique_name"],
    &["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"],
    &["http_schemas_xmlsoap_org_ws_2005_05_identity", "claims", "name"],
    &["http_schemas_xmlsoap_org_ws_2005_05_identity_claims_name"],
    &["preferred_username"],
];

const APP_ID: Places = &[&["appid"], &["azp"]];

const KIND: Places = &[&["idtyp"]];

const TENANT: Places = &[
    &["tid"],
    &["http://schemas.microsoft.com/identity/claims/tenantid"],
    &["http_schemas_microsoft_com_identity", "claims", "tenantid"],
];

const METHODS: Places = &[
    &["amr"],
    &["http://schemas.microsoft.com/claims/authnmethodsreferences"],
    &["http_schemas_microsoft_com_claims", "authnmethodsreferences"],
];

/// The claims among an `identity`: below `claim` (Key Vault) or `claims` (Activity Log).
pub(super) fn claims(identity: &Value) -> &Value {
    identity.at(&["claim"]).or_else(|| identity.at(&["claims"])).unwrap_or(&Value::Null)
}

/// The application that the token was issued to.
pub(super) fn app_id(claims: &Value) -> Option<&str> {
    find(claims, APP_ID)
}

/// Who acted. A token without `amr` says nothing of a second factor.
pub(super) fn actor(claims: &Value) -> Actor {
    let name = find(claims, USER_NAME).map(without_issuer);
    let app = app_id(claims);
    let kind = match find(claims, KIND) {
        Some(word) if word.eq_ignore_ascii_case("user") => ActorKind::Human,
        Some(word) if word.eq_ignore_ascii_case("app") => ActorKind::Workload,
        _ if name.is_some() => ActorKind::Human,
        _ if app.is_some() => ActorKind::Workload,
        _ => ActorKind::Unknown,
    };
    Actor {
        id: find(claims, OBJECT_ID).or(app).map(str::to_owned),
        name: name.map(str::to_owned),
        kind,
        account: tenant(claims),
        on_behalf_of: None,
        mfa: second_factor(claims),
    }
}

fn find(claims: &Value, places: Places) -> Option<&str> {
    places.iter().find_map(|path| claims.text(path))
}

/// Personal Microsoft accounts are written `live.com#name@domain`.
fn without_issuer(name: &str) -> &str {
    match name.split_once('#') {
        Some((issuer, rest)) if issuer.eq_ignore_ascii_case("live.com") => rest,
        _ => name,
    }
}

/// The tenant, from its claim or from the issuer `https://sts.windows.net/<tenant>/`.
fn tenant(claims: &Value) -> Option<String> {
    let claim = find(claims, TENANT);
    let issued = || claims.text(&["iss"])?.strip_prefix("https://sts.windows.net/");
    let tenant = claim.or_else(issued)?.trim_matches('/');
    (!tenant.is_empty()).then(|| tenant.to_ascii_lowercase())
}

/// Authentication methods come as `pwd`, as `pwd,mfa` or as an array.
fn second_factor(claims: &Value) -> Option<bool> {
    let methods = METHODS.iter().find_map(|path| claims.at(path))?;
    let is_second = |text: &str| text.to_ascii_lowercase().contains("mfa");
    match methods {
        Value::String(text) if !text.is_empty() => Some(is_second(text)),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).any(is_second)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_three_spellings_give_the_same_actor() {
        let short = json!({"oid": "o-1", "upn": "ann@example.com", "appid": "a-1", "amr": "pwd,mfa",
            "iss": "https://sts.windows.net/T-1/"});
        let long = json!({
            "http://schemas.microsoft.com/identity/claims/objectidentifier": "o-1",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ann@example.com",
            "http://schemas.microsoft.com/identity/claims/tenantid": "t-1",
            "http://schemas.microsoft.com/claims/authnmethodsreferences": "pwd,mfa",
            "appid": "a-1"});
        let nested = json!({
            "http_schemas_microsoft_com_identity":
                {"claims": {"objectidentifier": "o-1", "tenantid": "t-1"}},
            "http_schemas_xmlsoap_org_ws_2005_05_identity": {"claims": {"upn": "ann@example.com"}},
            "amr": ["pwd", "mfa"], "appid": "a-1"});
        let expected = Actor {
            id: Some("o-1".to_owned()),
            name: Some("ann@example.com".to_owned()),
            kind: ActorKind::Human,
            account: Some("t-1".to_owned()),
            on_behalf_of: None,
            mfa: Some(true),
        };
        for claims in [short, long, nested] {
            assert_eq!(actor(&claims), expected, "{claims}");
        }
    }

    #[test]
    fn the_kind_follows_idtyp_then_name_then_application() {
        let cases = [
            (json!({"idtyp": "app", "upn": "x@y.z"}), ActorKind::Workload),
            (json!({"idtyp": "user", "appid": "a"}), ActorKind::Human),
            (json!({"unique_name": "x@y.z", "appid": "a"}), ActorKind::Human),
            (json!({"oid": "o", "appid": "a"}), ActorKind::Workload),
            (json!({"oid": "o"}), ActorKind::Unknown),
            (json!(null), ActorKind::Unknown),
        ];
        for (claims, kind) in cases {
            assert_eq!(actor(&claims).kind, kind, "{claims}");
        }
        assert_eq!(actor(&json!({"appid": "a"})).id.as_deref(), Some("a"));
    }

    #[test]
    fn a_personal_account_is_named_by_its_address_and_a_guest_by_its_whole_name() {
        let personal = actor(&json!({"unique_name": "live.com#ann@example.com"}));
        assert_eq!(personal.name.as_deref(), Some("ann@example.com"));
        let guest = "ann_example.com#EXT#@corp.onmicrosoft.com";
        assert_eq!(actor(&json!({"upn": guest})).name.as_deref(), Some(guest));
    }

    #[test]
    fn without_methods_nothing_is_said_of_a_second_factor() {
        assert_eq!(actor(&json!({"oid": "o"})).mfa, None);
        assert_eq!(actor(&json!({"amr": "pwd"})).mfa, Some(false));
        assert_eq!(actor(&json!({"amr": 5})).mfa, None);
    }
}
