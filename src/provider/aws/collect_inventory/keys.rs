//! What is asked about one key.

use serde_json::{Value, json};

use super::super::super::Json as _;
use super::super::super::source::SourceError;
use super::super::api::{Api, KMS, Paging};
use super::{Document, InventoryKind, Refused};

/// States in which a key has no rotation to ask about.
const WITHOUT_ROTATION: &[&str] =
    &["PendingDeletion", "PendingReplicaDeletion", "PendingImport", "Creating", "Unavailable"];

/// Asks about a key: what it is, and of a customer's own key its rotations, policy and grants.
pub(super) async fn ask(api: &Api, key: String) -> Result<(Vec<Document>, Refused), SourceError> {
    let mut one = Key { api, arn: &key, documents: Vec::new(), refused: Refused::default() };
    if let Some(metadata) = one.described().await?
        && metadata.text(&["KeyManager"]) == Some("CUSTOMER")
    {
        one.policy().await?;
        one.grants().await?;
        one.rotations(&metadata).await?;
    }
    Ok((one.documents, one.refused))
}

struct Key<'a> {
    api: &'a Api,
    arn: &'a str,
    documents: Vec<Document>,
    refused: Refused,
}

impl Key<'_> {
    async fn read(&mut self, operation: &'static str) -> Result<Option<Value>, SourceError> {
        self.read_with(operation, &json!({"KeyId": self.arn})).await
    }

    async fn read_with(
        &mut self,
        operation: &'static str,
        body: &Value,
    ) -> Result<Option<Value>, SourceError> {
        let operation = KMS.op(operation);
        let outcome = self.api.read::<Value>(operation, body).await;
        self.refused.pass(operation, self.arn, outcome)
    }

    async fn listed(
        &mut self,
        operation: &'static str,
        body: &Value,
        member: &str,
    ) -> Result<Option<Vec<Value>>, SourceError> {
        let operation = KMS.op(operation);
        let outcome = self.api.listed(operation, body, (Paging::MARKER, member)).await;
        self.refused.pass(operation, self.arn, outcome)
    }

    fn found(&mut self, kind: InventoryKind, value: Value) {
        self.documents.push((kind, value, Some(self.arn.to_owned())));
    }

    /// What the key is, and when it was last used; its metadata.
    async fn described(&mut self) -> Result<Option<Value>, SourceError> {
        let Some(mut described) = self.read("DescribeKey").await? else { return Ok(None) };
        let metadata = described.at(&["KeyMetadata"]).cloned();
        let own = metadata.as_ref().and_then(|m| m.text(&["KeyManager"])) == Some("CUSTOMER");
        if own && let Some(usage) = self.read("GetKeyLastUsage").await? {
            let usage = usage.at(&["KeyLastUsage"]).cloned();
            if let (Some(members), Some(usage)) = (described.as_object_mut(), usage) {
                members.insert("KeyLastUsage".to_owned(), usage);
            }
        }
        self.found(InventoryKind::AwsDescribeKey, described);
        Ok(metadata)
    }

    async fn policy(&mut self) -> Result<(), SourceError> {
        let names =
            self.listed("ListKeyPolicies", &json!({"KeyId": self.arn}), "PolicyNames").await?;
        // `default` is the only name that the service documents for a customer's own policy.
        let names = names.unwrap_or_else(|| vec![Value::from("default")]);
        for name in names.iter().filter_map(Value::as_str) {
            let body = json!({"KeyId": self.arn, "PolicyName": name});
            if let Some(policy) = self.read_with("GetKeyPolicy", &body).await? {
                // Members beside these two would make it look like another service's policy.
                let policy = json!({"Policy": policy.at(&["Policy"]), "PolicyName": name});
                self.found(InventoryKind::AwsKeyPolicy, policy);
            }
        }
        Ok(())
    }

    async fn grants(&mut self) -> Result<(), SourceError> {
        let body = json!({"KeyId": self.arn, "Limit": 100});
        if let Some(grants) = self.listed("ListGrants", &body, "Grants").await? {
            self.found(InventoryKind::AwsListGrants, json!({"Grants": grants}));
        }
        Ok(())
    }

    async fn rotations(&mut self, metadata: &Value) -> Result<(), SourceError> {
        let state = metadata.text(&["KeyState"]).unwrap_or_default();
        let origin = metadata.text(&["Origin"]).unwrap_or_default();
        let symmetric = metadata.text(&["KeySpec"]).is_none_or(|spec| spec == "SYMMETRIC_DEFAULT");
        if !symmetric
            || !["AWS_KMS", "EXTERNAL"].contains(&origin)
            || WITHOUT_ROTATION.contains(&state)
        {
            return Ok(());
        }
        if let Some(status) = self.read("GetKeyRotationStatus").await? {
            self.found(InventoryKind::AwsKeyRotationStatus, status);
        }
        let body =
            json!({"KeyId": self.arn, "IncludeKeyMaterial": "ALL_KEY_MATERIAL", "Limit": 1000});
        if let Some(rotations) = self.listed("ListKeyRotations", &body, "Rotations").await? {
            self.found(InventoryKind::AwsListKeyRotations, json!({"Rotations": rotations}));
        }
        Ok(())
    }
}
