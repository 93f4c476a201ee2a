//! Trails and log groups (AWS CloudTrail API Reference, `DescribeTrails`; Amazon CloudWatch Logs
//! API Reference, `DescribeLogGroups`).

use serde_json::{Map, Value};

use crate::event::Provider;

use super::super::super::inventory::{Inventory, InventoryContext, LogSettingRow};
use super::super::super::{Json as _, Reject};
use super::super::dates;
use super::detail;
use super::identity::Place;

/// `describe-trails` or `get-trail`.
pub(super) fn trails(value: &Value) -> Result<Inventory, Reject> {
    let one = value.at(&["Trail"]).map(std::slice::from_ref);
    let trails = one.unwrap_or_else(|| value.items(&["trailList"]));
    let log_settings = trails.iter().map(trail).collect::<Result<_, _>>()?;
    Ok(Inventory { log_settings, ..Inventory::default() })
}

fn trail(trail: &Value) -> Result<LogSettingRow, Reject> {
    const TEXTS: &[(&str, &str)] = &[
        ("name", "Name"),
        ("home_region", "HomeRegion"),
        ("bucket", "S3BucketName"),
        ("prefix", "S3KeyPrefix"),
        ("kms_key_id", "KmsKeyId"),
        ("log_group_arn", "CloudWatchLogsLogGroupArn"),
    ];
    const FLAGS: &[(&str, &str)] = &[
        ("multi_region", "IsMultiRegionTrail"),
        ("organization_trail", "IsOrganizationTrail"),
        ("global_service_events", "IncludeGlobalServiceEvents"),
        ("validation_enabled", "LogFileValidationEnabled"),
        ("custom_selectors", "HasCustomEventSelectors"),
    ];
    let arn = trail.text(&["TrailARN"]).ok_or_else(|| Reject::missing("TrailARN"))?;
    let mut row = setting(arn, "trail", Place::default().or_of_arn(Some(arn)));
    if trail.flag(&["IsMultiRegionTrail"]) == Some(true) {
        row.region = Some("*".to_owned());
    }
    for (name, member) in TEXTS {
        detail(&mut row.details, name, trail.text(&[member]));
    }
    for (name, member) in FLAGS {
        detail(&mut row.details, name, trail.flag(&[member]));
    }
    status(&mut row.details, trail);
    Ok(row)
}

/// What `get-trail-status` tells, which the pollers put beside the trail.
fn status(details: &mut Map<String, Value>, trail: &Value) {
    const TIMES: &[(&str, &str)] =
        &[("started_at", "StartLoggingTime"), ("stopped_at", "StopLoggingTime")];
    const ERRORS: &[(&str, &str)] = &[
        ("delivery_error", "LatestDeliveryError"),
        ("digest_delivery_error", "LatestDigestDeliveryError"),
        ("notification_error", "LatestNotificationError"),
        ("log_group_delivery_error", "LatestCloudWatchLogsDeliveryError"),
    ];
    detail(details, "is_logging", trail.flag(&["Status", "IsLogging"]));
    for (name, member) in TIMES {
        let time = trail.at(&["Status", member]).and_then(dates::api_time);
        detail(details, name, time.map(|time| time.to_string()));
    }
    for (name, member) in ERRORS {
        detail(details, name, trail.text(&["Status", member]));
    }
}

/// `describe-log-groups`. A group of a CloudHSM cluster's audit log names the cluster.
pub(super) fn groups(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let mut log_settings = Vec::new();
    for group in value.items(&["logGroups"]) {
        let name = group.text(&["logGroupName"]).ok_or_else(|| Reject::missing("logGroupName"))?;
        let place = Place::of(context).or_of_arn(group.text(&["arn"]));
        let mut row = setting(name, "log_group", place);
        row.resource_id = name.strip_prefix("/aws/cloudhsm/").map(str::to_owned);
        row.retention_days = group.integer(&["retentionInDays"]);
        detail(&mut row.details, "kms_key_id", group.text(&["kmsKeyId"]));
        let protected = group.flag(&["deletionProtectionEnabled"]);
        detail(&mut row.details, "deletion_protection", protected);
        log_settings.push(row);
    }
    Ok(Inventory { log_settings, ..Inventory::default() })
}

/// A row that names a setting and nothing else.
pub(super) fn setting(id: &str, kind: &str, place: Place<'_>) -> LogSettingRow {
    LogSettingRow {
        provider: Provider::Aws,
        account: place.account.map(str::to_owned),
        region: place.region.map(str::to_owned),
        setting_id: id.to_owned(),
        kind: kind.to_owned(),
        resource_id: None,
        logs_keys: None,
        retention_days: None,
        details: Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_trail_names_where_it_delivers_and_whether_it_can_be_proven() {
        let arn = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";
        let one = json!({"TrailARN": arn, "Name": "main", "HomeRegion": "eu-west-1",
            "IsMultiRegionTrail": true, "IsOrganizationTrail": false, "S3BucketName": "audit",
            "LogFileValidationEnabled": true, "HasCustomEventSelectors": false});
        for document in [json!({"trailList": [one]}), json!({"Trail": one})] {
            let row = trails(&document).unwrap().log_settings.remove(0);
            assert_eq!((row.kind.as_str(), row.setting_id.as_str()), ("trail", arn));
            assert_eq!(row.account.as_deref(), Some("111122223333"));
            assert_eq!(row.region.as_deref(), Some("*"));
            assert_eq!(
                Value::Object(row.details),
                json!({"name": "main", "home_region": "eu-west-1", "bucket": "audit",
                    "multi_region": true, "organization_trail": false,
                    "validation_enabled": true, "custom_selectors": false})
            );
        }
        let single = json!({"trailList": [{"TrailARN": arn, "IsMultiRegionTrail": false}]});
        assert_eq!(trails(&single).unwrap().log_settings[0].region.as_deref(), Some("eu-west-1"));
        assert!(trails(&json!({"trailList": [{"Name": "main"}]})).is_err());
    }

    #[test]
    fn a_log_group_has_its_retention_and_the_cluster_whose_log_it_is() {
        let document = json!({"logGroups": [
            {"logGroupName": "/aws/cloudhsm/cluster-a", "retentionInDays": 90,
             "arn": "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/cloudhsm/cluster-a:*"},
            {"logGroupName": "/app", "deletionProtectionEnabled": true},
        ]});
        let rows = groups(&document, &InventoryContext::default()).unwrap().log_settings;
        assert_eq!(rows[0].kind, "log_group");
        assert_eq!(rows[0].resource_id.as_deref(), Some("cluster-a"));
        assert_eq!(rows[0].retention_days, Some(90));
        assert_eq!(rows[0].account.as_deref(), Some("111122223333"));
        assert_eq!(rows[0].region.as_deref(), Some("eu-west-1"));
        assert_eq!((rows[1].resource_id.as_deref(), rows[1].retention_days), (None, None));
        assert_eq!(rows[1].details["deletion_protection"], true);
        assert_eq!(rows[1].account, None);
    }
}
