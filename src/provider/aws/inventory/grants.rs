//! Grants of keys (AWS KMS API Reference, `ListGrants`).

use serde_json::{Value, json};

use super::super::super::inventory::{Inventory, InventoryContext};
use super::super::super::{Json as _, Reject};
use super::super::dates;
use super::detail;
use super::identity::key_of;

/// At most so many grants go into a key's details.
const LISTED: usize = 50;

/// `list-grants`: who may use the key beside its policy. That there is none is a fact as well.
pub(super) fn read(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let mut inventory = Inventory::default();
    let grants = value.items(&["Grants"]);
    if grants.is_empty() && context.key_hint.is_none() {
        return Ok(inventory);
    }
    let mut keys: Vec<Option<&str>> = grants.iter().map(|grant| grant.text(&["KeyId"])).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        keys.push(None);
    }
    for key in keys {
        let mut row = key_of(key, context)?.row();
        let own: Vec<&Value> = grants.iter().filter(|g| g.text(&["KeyId"]) == key).collect();
        detail(&mut row.details, "grant_count", Some(own.len()));
        let listed: Vec<Value> = own.into_iter().take(LISTED).map(grant).collect();
        detail(&mut row.details, "grants", (!listed.is_empty()).then_some(listed));
        inventory.keys.push(row);
    }
    Ok(inventory)
}

fn grant(grant: &Value) -> Value {
    let grantee =
        grant.text(&["GranteePrincipal"]).or_else(|| grant.text(&["GranteeServicePrincipal"]));
    let created = grant.at(&["CreationDate"]).and_then(dates::api_time);
    json!({
        "grant_id": grant.text(&["GrantId"]),
        "grantee": grantee,
        "retiring": grant.text(&["RetiringPrincipal"]),
        "operations": grant.items(&["Operations"]).iter().take(LISTED).collect::<Vec<_>>(),
        "constrained": grant.at(&["Constraints"]).is_some(),
        "created_at": created.map(|time| time.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e";

    #[test]
    fn a_key_has_the_grants_that_name_it() {
        let grant = |id| json!({"KeyId": ARN, "GrantId": id, "GranteePrincipal": "p", "Operations": ["Decrypt"]});
        let document = json!({"Grants": [grant("a"), grant("b")]});
        let rows = read(&document, &InventoryContext::default()).unwrap().keys;
        assert_eq!((rows.len(), &rows[0].details["grant_count"]), (1, &json!(2)));
        assert_eq!(rows[0].details["grants"][1]["grant_id"], "b");
        let hinted =
            InventoryContext { key_hint: Some(ARN.to_owned()), ..InventoryContext::default() };
        let none = read(&json!({"Grants": []}), &hinted).unwrap().keys;
        assert_eq!(none[0].details["grant_count"], 0);
        assert!(read(&json!({"Grants": []}), &InventoryContext::default()).unwrap().is_empty());
    }
}
