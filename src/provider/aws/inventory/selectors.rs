//! Which KMS events a trail records (AWS CloudTrail API Reference, `GetEventSelectors`,
//! `AdvancedFieldSelector`; AWS KMS Developer Guide, "Logging AWS KMS API calls with AWS
//! CloudTrail": all KMS calls are management events, and a trail may exclude them).
//!
//! `logs_keys` is true when the calls that change something are recorded without exception, false
//! when none of them is, and absent where selectors single out some of them.

use serde_json::{Map, Value};

use super::super::super::inventory::Inventory;
use super::super::super::{Json as _, Reject};
use super::detail;
use super::identity::Place;
use super::logs::setting;

const KMS: &str = "kms.amazonaws.com";

/// Whether an event's value is what an operator's value asks for.
type Test = fn(&str, &str) -> bool;

/// Which calls are recorded.
#[derive(Debug, Default)]
struct Calls {
    /// Those that only read, which every use of a key is.
    read: bool,
    /// Those that change something.
    write: bool,
}

/// What selectors together record.
#[derive(Debug, Default)]
struct Recorded {
    /// Calls of KMS.
    kms: Calls,
    /// Some calls of KMS, singled out by these fields.
    narrowed_by: Vec<String>,
    /// A selector for management events leaves out KMS by name.
    kms_excluded: bool,
    /// Calls of every service but KMS.
    others: Calls,
}

/// `get-event-selectors`.
pub(super) fn read(value: &Value) -> Result<Inventory, Reject> {
    let arn = value.text(&["TrailARN"]).ok_or_else(|| Reject::missing("TrailARN"))?;
    let basic = value.items(&["EventSelectors"]);
    let advanced = value.items(&["AdvancedEventSelectors"]);
    let mut recorded = Recorded::default();
    for selector in basic {
        recorded.add_basic(selector);
    }
    for selector in advanced {
        recorded.add_advanced(selector);
    }
    let mut row = setting(arn, "event_selectors", Place::default().or_of_arn(Some(arn)));
    if !basic.is_empty() || !advanced.is_empty() {
        row.logs_keys = recorded.verdict();
        recorded.describe(&mut row.details);
        let style = if advanced.is_empty() { "basic" } else { "advanced" };
        detail(&mut row.details, "selectors", Some(style));
    }
    Ok(Inventory { log_settings: vec![row], ..Inventory::default() })
}

impl Recorded {
    fn add_basic(&mut self, selector: &Value) {
        if !selector.flag(&["IncludeManagementEvents"]).unwrap_or(true) {
            return;
        }
        let which = selector.text(&["ReadWriteType"]).unwrap_or("All");
        self.others.read |= which != "WriteOnly";
        self.others.write |= which != "ReadOnly";
        let excluded = selector
            .items(&["ExcludeManagementEventSources"])
            .iter()
            .filter_map(Value::as_str)
            .any(|source| source.eq_ignore_ascii_case(KMS));
        if excluded {
            self.kms_excluded = true;
            return;
        }
        self.kms.read |= which != "WriteOnly";
        self.kms.write |= which != "ReadOnly";
    }

    fn add_advanced(&mut self, selector: &Value) {
        let fields = selector.items(&["FieldSelectors"]);
        if !matches(fields, "eventCategory", "Management") {
            return;
        }
        self.add_others(fields);
        if !matches(fields, "eventSource", KMS) {
            self.kms_excluded = true;
            return;
        }
        let named: Vec<&str> = fields.iter().filter_map(|field| field.text(&["Field"])).collect();
        let mut narrowing = named.clone();
        narrowing.retain(|field| !["eventCategory", "eventSource", "readOnly"].contains(field));
        if !named.contains(&"eventCategory") {
            // The API demands it: what such a selector selects is not known.
            narrowing.push("eventCategory");
        }
        if narrowing.is_empty() {
            self.kms.read |= matches(fields, "readOnly", "true");
            self.kms.write |= matches(fields, "readOnly", "false");
        } else {
            self.narrowed_by.extend(narrowing.into_iter().map(str::to_owned));
        }
    }

    /// What an advanced selector for management events records of other services: nothing that can
    /// be relied on where it asks for some of them, or for some events, alone.
    fn add_others(&mut self, fields: &[Value]) {
        let chooses = |field: &Value| {
            let asks = |operator: &&str| !field.items(&[operator]).is_empty();
            match field.text(&["Field"]) {
                Some("eventCategory" | "readOnly") => false,
                Some("eventSource") => ["Equals", "StartsWith", "EndsWith"].iter().any(asks),
                _ => true,
            }
        };
        let named = |field: &Value| field.text(&["Field"]) == Some("eventCategory");
        let kept = ["cloudhsm.amazonaws.com", "cloudtrail.amazonaws.com"]
            .iter()
            .all(|source| matches(fields, "eventSource", source));
        if kept && fields.iter().any(named) && !fields.iter().any(chooses) {
            self.others.read |= matches(fields, "readOnly", "true");
            self.others.write |= matches(fields, "readOnly", "false");
        }
    }

    fn verdict(&self) -> Option<bool> {
        if self.kms.write {
            Some(true)
        } else if self.narrowed_by.is_empty() {
            Some(false)
        } else {
            None
        }
    }

    fn describe(&self, details: &mut Map<String, Value>) {
        let complete = self.kms.read && self.kms.write;
        let some = self.kms.read || self.kms.write || !self.narrowed_by.is_empty();
        detail(details, "partial", (some && !complete).then_some(true));
        detail(details, "records_reads", Some(self.kms.read));
        detail(details, "records_writes", Some(self.kms.write));
        let narrowed =
            (!complete && !self.narrowed_by.is_empty()).then(|| self.narrowed_by.clone());
        detail(details, "narrowed_by", narrowed);
        let others = self.others.read && self.others.write;
        detail(details, "others_left_out", (!others).then_some(true));
        let reason = if self.verdict() != Some(false) {
            None
        } else if self.kms_excluded {
            Some("kms_excluded")
        } else if self.kms.read {
            Some("writes_excluded")
        } else {
            Some("management_events_excluded")
        };
        detail(details, "reason", reason);
    }
}

/// Whether an event whose `field` has `value` passes the field selectors; all that name the field
/// must let it pass, and within one each operator must.
fn matches(selectors: &[Value], field: &str, value: &str) -> bool {
    const OPERATORS: &[(&str, bool, Test)] = &[
        ("Equals", true, |value, wanted| value.eq_ignore_ascii_case(wanted)),
        ("StartsWith", true, |value, wanted| value.starts_with(wanted)),
        ("EndsWith", true, |value, wanted| value.ends_with(wanted)),
        ("NotEquals", false, |value, wanted| value.eq_ignore_ascii_case(wanted)),
        ("NotStartsWith", false, |value, wanted| value.starts_with(wanted)),
        ("NotEndsWith", false, |value, wanted| value.ends_with(wanted)),
    ];
    selectors.iter().filter(|selector| selector.text(&["Field"]) == Some(field)).all(|selector| {
        OPERATORS.iter().all(|(operator, wanted, test)| {
            let values = selector.items(&[operator]);
            let hit = values.iter().filter_map(Value::as_str).any(|item| test(value, item));
            values.is_empty() || hit == *wanted
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ARN: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";

    fn verdict(name: &str, selectors: &Value) -> (Option<bool>, Value) {
        let row = read(&json!({"TrailARN": ARN, name: selectors})).unwrap().log_settings.remove(0);
        assert_eq!((row.kind.as_str(), row.setting_id.as_str()), ("event_selectors", ARN));
        assert_eq!(row.account.as_deref(), Some("111122223333"));
        (row.logs_keys, Value::Object(row.details))
    }

    fn reason(details: &Value) -> Option<&str> {
        details.text(&["reason"])
    }

    #[test]
    fn basic_selectors_record_kms_unless_they_exclude_it() {
        for (selectors, logs_keys, why) in [
            (
                json!([{"ReadWriteType": "All", "IncludeManagementEvents": true, "ExcludeManagementEventSources": []}]),
                Some(true),
                None,
            ),
            (json!([{"ReadWriteType": "All", "DataResources": []}]), Some(true), None),
            (
                json!([{"IncludeManagementEvents": true, "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]),
                Some(false),
                Some("kms_excluded"),
            ),
            (
                json!([{"IncludeManagementEvents": false}, {"IncludeManagementEvents": true, "ExcludeManagementEventSources": ["rdsdata.amazonaws.com", "KMS.amazonaws.com"]}]),
                Some(false),
                Some("kms_excluded"),
            ),
            (
                json!([{"IncludeManagementEvents": true, "ExcludeManagementEventSources": ["rdsdata.amazonaws.com"]}]),
                Some(true),
                None,
            ),
            (
                json!([{"IncludeManagementEvents": false}, {"IncludeManagementEvents": false}]),
                Some(false),
                Some("management_events_excluded"),
            ),
            (
                json!([{"IncludeManagementEvents": false}, {"IncludeManagementEvents": true}]),
                Some(true),
                None,
            ),
            (
                json!([{"IncludeManagementEvents": true, "ReadWriteType": "ReadOnly"}]),
                Some(false),
                Some("writes_excluded"),
            ),
            (json!([]), None, None),
        ] {
            let (found, details) = verdict("EventSelectors", &selectors);
            assert_eq!(found, logs_keys, "{selectors}");
            assert_eq!(reason(&details), why, "{selectors}");
        }
    }

    #[test]
    fn a_trail_of_writes_alone_is_partial() {
        let (found, details) = verdict("EventSelectors", &json!([{"ReadWriteType": "WriteOnly"}]));
        assert_eq!(found, Some(true));
        assert_eq!(
            details,
            json!({"selectors": "basic", "partial": true, "records_reads": false, "records_writes": true, "others_left_out": true})
        );
        let both = json!([{"ReadWriteType": "WriteOnly"}, {"ReadWriteType": "ReadOnly"}]);
        assert_eq!(verdict("EventSelectors", &both).1.at(&["partial"]), None);
    }

    #[test]
    fn advanced_selectors_record_kms_where_all_their_fields_let_it_pass() {
        let management = json!({"Field": "eventCategory", "Equals": ["Management"]});
        let data = json!({"Field": "eventCategory", "Equals": ["Data"]});
        for (fields, logs_keys, why) in [
            (json!([management]), Some(true), None),
            (
                json!([data, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]),
                Some(false),
                Some("management_events_excluded"),
            ),
            (
                json!([management, {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com", "rdsdata.amazonaws.com"]}]),
                Some(false),
                Some("kms_excluded"),
            ),
            (
                json!([management, {"Field": "eventSource", "NotEquals": ["rdsdata.amazonaws.com"]}]),
                Some(true),
                None,
            ),
            (
                json!([management, {"Field": "eventSource", "Equals": ["ec2.amazonaws.com"]}]),
                Some(false),
                Some("kms_excluded"),
            ),
            (
                json!([management, {"Field": "eventSource", "NotStartsWith": ["kms."]}]),
                Some(false),
                Some("kms_excluded"),
            ),
            (
                json!([management, {"Field": "eventSource", "EndsWith": [".amazonaws.com"]}]),
                Some(true),
                None,
            ),
            (json!([management, {"Field": "readOnly", "Equals": ["false"]}]), Some(true), None),
            (
                json!([management, {"Field": "readOnly", "Equals": ["true"]}]),
                Some(false),
                Some("writes_excluded"),
            ),
            (json!([management, {"Field": "eventName", "NotEquals": ["Decrypt"]}]), None, None),
            (json!([{"Field": "eventSource", "Equals": ["kms.amazonaws.com"]}]), None, None),
        ] {
            let (found, details) =
                verdict("AdvancedEventSelectors", &json!([{"FieldSelectors": fields}]));
            assert_eq!(found, logs_keys, "{fields}");
            assert_eq!(reason(&details), why, "{fields}");
            assert_eq!(details["selectors"], "advanced");
        }
    }

    #[test]
    fn it_is_told_whether_other_management_events_are_left_out() {
        let management = json!({"Field": "eventCategory", "Equals": ["Management"]});
        let source = |operator: &str, name: &str| json!({"Field": "eventSource", operator: [name]});
        for (name, selectors, left_out) in [
            ("EventSelectors", json!([{"ReadWriteType": "All"}]), false),
            ("EventSelectors", json!([{"ExcludeManagementEventSources": [KMS]}]), false),
            (
                "EventSelectors",
                json!([{"ReadWriteType": "ReadOnly", "ExcludeManagementEventSources": [KMS]}]),
                true,
            ),
            ("EventSelectors", json!([{"IncludeManagementEvents": false}]), true),
            ("AdvancedEventSelectors", json!([[management]]), false),
            ("AdvancedEventSelectors", json!([[management, source("NotEquals", KMS)]]), false),
            ("AdvancedEventSelectors", json!([[management, source("Equals", KMS)]]), true),
            (
                "AdvancedEventSelectors",
                json!([[management, source("NotEquals", "cloudhsm.amazonaws.com")]]),
                true,
            ),
            (
                "AdvancedEventSelectors",
                json!([[management, {"Field": "eventName", "NotEquals": ["Decrypt"]}]]),
                true,
            ),
        ] {
            let advanced = |fields: &Value| json!({ "FieldSelectors": fields });
            let selectors = match name {
                "EventSelectors" => selectors,
                _ => selectors.as_array().unwrap().iter().map(advanced).collect(),
            };
            let (_, details) = verdict(name, &selectors);
            assert_eq!(details["others_left_out"] == true, left_out, "{selectors}");
        }
    }

    #[test]
    fn fields_that_single_out_events_are_named() {
        let fields = json!([{"Field": "eventCategory", "Equals": ["Management"]},
            {"Field": "userIdentity.arn", "NotStartsWith": ["arn:aws:sts:"]}]);
        let (_, details) = verdict("AdvancedEventSelectors", &json!([{"FieldSelectors": fields}]));
        assert_eq!(details["narrowed_by"], json!(["userIdentity.arn"]));
        assert_eq!(details["partial"], true);
    }
}
