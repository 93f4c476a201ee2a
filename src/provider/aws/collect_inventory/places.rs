//! What is asked about a region besides its keys: key stores, clusters and backups, trails and log
//! groups.

use serde_json::{Value, json};

use super::super::super::Json as _;
use super::super::super::source::SourceError;
use super::super::api::{Api, CLOUDHSM, CLOUDTRAIL, KMS, LOGS, Operation, Paging};
use super::{Document, InventoryKind, Refused};

/// Facts of a trail's status that say whether it records; the others change with every file.
const STATUS: &[&str] = &[
    "IsLogging",
    "StartLoggingTime",
    "StopLoggingTime",
    "LatestDeliveryError",
    "LatestDigestDeliveryError",
    "LatestNotificationError",
    "LatestCloudWatchLogsDeliveryError",
];

/// Asks about all of it.
pub(super) async fn ask(api: &Api, refused: &mut Refused) -> Result<Vec<Document>, SourceError> {
    let mut documents = Vec::new();
    for (kind, operation, body, paging, member) in [
        (
            InventoryKind::AwsCustomKeyStores,
            KMS.op("DescribeCustomKeyStores"),
            json!({"Limit": 100}),
            Paging::MARKER,
            "CustomKeyStores",
        ),
        (
            InventoryKind::AwsDescribeClusters,
            CLOUDHSM.op("DescribeClusters"),
            json!({"MaxResults": 25}),
            Paging::TOKEN,
            "Clusters",
        ),
        (
            InventoryKind::AwsLogGroups,
            LOGS.op("DescribeLogGroups"),
            json!({"logGroupNamePrefix": "/aws/cloudhsm/", "limit": 50}),
            Paging::LOGS,
            "logGroups",
        ),
    ] {
        let listed = api.listed(operation, &body, (paging, member)).await;
        if let Some(mut items) = refused.pass(operation, "", listed)? {
            items.iter_mut().for_each(mask);
            documents.push((kind, json!({member: items}), None));
        }
    }
    documents.extend(backups(api, refused).await?);
    documents.extend(trails(api, refused).await?);
    Ok(documents)
}

/// The first crypto officer's password is given out until the cluster is activated: that there is one
/// is a fact, what it is must not be kept.
fn mask(item: &mut Value) {
    if let Some(password) = item.get_mut("PreCoPassword")
        && !password.is_null()
    {
        *password = Value::from("masked");
    }
}

/// Backups, each with the policy that shares it with others.
async fn backups(api: &Api, refused: &mut Refused) -> Result<Vec<Document>, SourceError> {
    let operation = CLOUDHSM.op("DescribeBackups");
    let listed =
        api.listed(operation, &json!({"MaxResults": 50}), (Paging::TOKEN, "Backups")).await;
    let Some(mut backups) = refused.pass(operation, "", listed)? else { return Ok(Vec::new()) };
    for backup in &mut backups {
        let Some(arn) = backup.string(&["BackupArn"]) else { continue };
        let policy =
            one(api, refused, CLOUDHSM.op("GetResourcePolicy"), json!({"ResourceArn": arn}));
        let policy = policy.await?.and_then(|answer| answer.at(&["Policy"]).cloned());
        if let (Some(members), Some(policy)) = (backup.as_object_mut(), policy) {
            members.insert("Policy".to_owned(), policy);
        }
    }
    Ok(vec![(InventoryKind::AwsBackups, json!({"Backups": backups}), None)])
}

/// The trails whose home is this region, with their status and selectors.
async fn trails(api: &Api, refused: &mut Refused) -> Result<Vec<Document>, SourceError> {
    let body = json!({"includeShadowTrails": false});
    let Some(listed) = one(api, refused, CLOUDTRAIL.op("DescribeTrails"), body).await? else {
        return Ok(Vec::new());
    };
    let mut documents = Vec::new();
    for trail in listed.items(&["trailList"]) {
        let Some(arn) = trail.string(&["TrailARN"]) else { continue };
        let mut trail = trail.clone();
        let status = one(api, refused, CLOUDTRAIL.op("GetTrailStatus"), json!({"Name": arn}));
        if let (Some(status), Some(members)) = (status.await?, trail.as_object_mut()) {
            let kept = |name: &&str| Some(((*name).to_owned(), status.at(&[name])?.clone()));
            members.insert("Status".to_owned(), STATUS.iter().filter_map(kept).collect());
        }
        documents.push((InventoryKind::AwsTrails, json!({"Trail": trail}), None));
        let body = json!({"TrailName": arn});
        let selectors = one(api, refused, CLOUDTRAIL.op("GetEventSelectors"), body).await?;
        if let Some(mut selectors) = selectors {
            if let Some(members) = selectors.as_object_mut() {
                members.entry("TrailARN").or_insert_with(|| Value::from(arn));
            }
            documents.push((InventoryKind::AwsEventSelectors, selectors, None));
        }
    }
    Ok(documents)
}

async fn one(
    api: &Api,
    refused: &mut Refused,
    operation: Operation,
    body: Value,
) -> Result<Option<Value>, SourceError> {
    let outcome = api.read::<Value>(operation, &body).await;
    refused.pass(operation, "", outcome)
}
