//! Who a key policy lets in.
//!
//! A statement lets anybody in when it allows, names everybody as principal and carries no
//! condition that ties the *caller* to something that a stranger cannot have. In doubt a
//! condition does not restrict: a policy is called restricted only for a reason that stands in
//! it. A `Deny` is never access, and is not weighed against an `Allow` either.
//!
//! `kms:ViaService` alone does not restrict: it says through which service a call comes, and
//! anybody may use that service. AWS's own policies for AWS managed keys pair it with
//! `kms:CallerAccount`. (KMS Developer Guide, "Condition keys for AWS KMS"; IAM User Guide, "AWS
//! global condition context keys" and "Set operators for multi-valued context keys".)

mod condition;

use serde_json::Value;

use crate::event::words;

use super::super::Json as _;

words! {
    /// Whether a policy lets anybody in.
    Access {
        /// A statement lets anybody in.
        Public = "public",
        /// Every statement that allows is tied to named callers.
        Restricted = "restricted",
        /// The text is cut off, or is not a policy, and what can be read of it is not public.
        Unreadable = "unreadable",
    }
}

words! {
    /// Why a statement lets anybody in.
    Exposure {
        /// It names everybody and has no condition.
        NoCondition = "no_condition",
        /// It allows everybody but those named.
        NotPrincipal = "not_principal",
        /// Its only restriction is the service through which the call comes.
        ViaServiceOnly = "via_service_only",
        /// It has conditions, and none ties the caller to something.
        OpenCondition = "open_condition",
    }
}

/// A statement that lets anybody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFinding {
    /// Its place in the policy, counted from 0.
    pub index: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// What it allows; each entry of a `NotAction` is written `!entry`.
    pub actions: Vec<String>,
    /// Why anybody gets in.
    pub reason: Exposure,
}

impl PolicyFinding {
    /// The statement's name for a report: its `Sid`, else `#<index>`.
    pub fn statement(&self) -> String {
        self.sid.clone().unwrap_or_else(|| format!("#{}", self.index))
    }
}

/// What a policy says about who gets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The verdict.
    pub access: Access,
    /// The statements that let anybody in; empty unless the verdict is `Public`.
    pub findings: Vec<PolicyFinding>,
    /// Why the policy, or a part of it, cannot be read: `truncated` (it is not JSON, as when the
    /// log cut it off at its size limit) or `malformed` (it is JSON and not a policy).
    pub unreadable: Option<&'static str>,
}

/// A statement that is not one.
struct Malformed;

/// Tells whether the policy lets anybody in, and by which statements.
pub fn analyse(policy_json: &str) -> Analysis {
    let statements = match statements(policy_json) {
        Ok(statements) => statements,
        Err(reason) => {
            return Analysis {
                access: Access::Unreadable,
                findings: Vec::new(),
                unreadable: Some(reason),
            };
        }
    };
    let mut findings = Vec::new();
    let mut unreadable = None;
    for (index, statement) in statements.iter().enumerate() {
        match exposure(statement) {
            Ok(None) => {}
            Ok(Some(reason)) => findings.push(PolicyFinding {
                index,
                sid: statement.string(&["Sid"]),
                actions: actions(statement),
                reason,
            }),
            Err(Malformed) => unreadable = Some("malformed"),
        }
    }
    let access = match (findings.is_empty(), unreadable) {
        (false, _) => Access::Public,
        (true, Some(_)) => Access::Unreadable,
        (true, None) => Access::Restricted,
    };
    Analysis { access, findings, unreadable }
}

/// The principals that the policy's `Allow` statements name, each once, in the policy's order:
/// ARNs, accounts, services, or `*` (also for a `NotPrincipal`, which lets in all others). None
/// if the policy cannot be read.
pub fn principals(policy_json: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !found.contains(&name) {
            found.push(name);
        }
    };
    for statement in statements(policy_json).unwrap_or_default() {
        if !matches!(allows(&statement), Ok(true)) {
            continue;
        }
        if statement.at(&["NotPrincipal"]).is_some() {
            add("*".to_owned());
        }
        if let Some(Ok(names)) = statement.at(&["Principal"]).map(named) {
            names.into_iter().for_each(&mut add);
        }
    }
    found
}

/// The statements of a policy, which may be one object or an array of them.
fn statements(policy_json: &str) -> Result<Vec<Value>, &'static str> {
    let mut policy: Value = serde_json::from_str(policy_json).map_err(|_| "truncated")?;
    match policy.get_mut("Statement").map(Value::take) {
        Some(Value::Array(statements)) => Ok(statements),
        Some(statement @ Value::Object(_)) => Ok(vec![statement]),
        _ => Err("malformed"),
    }
}

/// Why the statement lets anybody in; `None` when it does not.
fn exposure(statement: &Value) -> Result<Option<Exposure>, Malformed> {
    if !allows(statement)? {
        return Ok(None);
    }
    let inverted = statement.at(&["NotPrincipal"]).is_some();
    let named = statement.at(&["Principal"]).map_or(Ok(Vec::new()), named)?;
    if !inverted && !named.iter().any(|name| is_anybody(name)) {
        return Ok(None);
    }
    let conditions = match statement.at(&["Condition"]) {
        None => {
            return Ok(Some(if inverted { Exposure::NotPrincipal } else { Exposure::NoCondition }));
        }
        Some(Value::Object(conditions)) => conditions,
        Some(_) => return Err(Malformed),
    };
    let tie = condition::tie(conditions);
    Ok(match tie {
        condition::Tie::Caller => None,
        _ if inverted => Some(Exposure::NotPrincipal),
        condition::Tie::Service => Some(Exposure::ViaServiceOnly),
        condition::Tie::Nothing if conditions.is_empty() => Some(Exposure::NoCondition),
        condition::Tie::Nothing => Some(Exposure::OpenCondition),
    })
}

fn allows(statement: &Value) -> Result<bool, Malformed> {
    match statement.text(&["Effect"]) {
        Some(effect) if effect.eq_ignore_ascii_case("Allow") => Ok(true),
        Some(effect) if effect.eq_ignore_ascii_case("Deny") => Ok(false),
        _ => Err(Malformed),
    }
}

/// The names in a `Principal`: a text, an array, or an object of either by kind of principal.
fn named(principal: &Value) -> Result<Vec<String>, Malformed> {
    match principal {
        Value::Object(kinds) => {
            let mut names = Vec::new();
            for value in kinds.values() {
                names.extend(texts(value).ok_or(Malformed)?);
            }
            Ok(names)
        }
        other => texts(other).ok_or(Malformed),
    }
}

/// `*`, or an ARN whose account is a wildcard.
fn is_anybody(name: &str) -> bool {
    let name = name.trim();
    name == "*"
        || (name.starts_with("arn:")
            && name.split(':').nth(4).is_some_and(|account| account.contains('*')))
}

fn actions(statement: &Value) -> Vec<String> {
    let allowed = statement.at(&["Action"]).and_then(texts).unwrap_or_default();
    let all_but = statement.at(&["NotAction"]).and_then(texts).unwrap_or_default();
    allowed.into_iter().chain(all_but.into_iter().map(|action| format!("!{action}"))).collect()
}

/// One text or an array of texts; numbers (accounts are sometimes written so) count as text.
fn texts(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(items) => items.iter().map(one).collect(),
        other => Some(vec![one(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn policy(statement: &Value) -> String {
        json!({"Version": "2012-10-17", "Statement": statement}).to_string()
    }

    fn everybody_under(condition: &Value) -> Analysis {
        analyse(&policy(&json!([{
            "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": condition,
        }])))
    }

    #[test]
    fn naming_everybody_without_a_condition_is_public_in_every_spelling() {
        for principal in [
            json!("*"),
            json!(["*"]),
            json!({"AWS": "*"}),
            json!({"AWS": ["arn:aws:iam::111122223333:root", "*"]}),
            json!({"Service": "kms.amazonaws.com", "AWS": "*"}),
            json!({"AWS": "arn:aws:iam::*:root"}),
        ] {
            let statement = json!({"Sid": "Open", "Effect": "Allow", "Principal": principal,
                "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"});
            for shape in [statement.clone(), json!([statement])] {
                let analysis = analyse(&policy(&shape));
                assert_eq!(analysis.access, Access::Public, "{shape}");
                assert_eq!(
                    analysis.findings,
                    [PolicyFinding {
                        index: 0,
                        sid: Some("Open".to_owned()),
                        actions: vec!["kms:Encrypt".to_owned(), "kms:Decrypt".to_owned()],
                        reason: Exposure::NoCondition,
                    }]
                );
            }
        }
    }

    #[test]
    fn named_principals_denials_and_statements_without_principal_let_nobody_in() {
        for statement in [
            json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*"}),
            json!({"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*"}),
            json!({"Effect": "Allow", "Principal": {"AWS": 111_122_223_333_u64}, "Action": "kms:*"}),
            json!({"Effect": "Allow", "Principal": {"Service": "logs.eu-west-1.amazonaws.com"}, "Action": "*"}),
            json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/a*"}, "Action": "*"}),
            json!({"Effect": "Deny", "Principal": "*", "Action": "kms:*"}),
            json!({"Effect": "Deny", "NotPrincipal": {"AWS": "111122223333"}, "Action": "kms:*"}),
            json!({"Effect": "Allow", "Action": "kms:*", "Resource": "*"}),
        ] {
            let analysis = analyse(&policy(&statement));
            assert_eq!(analysis.access, Access::Restricted, "{statement}");
            assert!(analysis.findings.is_empty());
        }
        assert_eq!(analyse(&policy(&json!([]))).access, Access::Restricted);
    }

    #[test]
    fn allowing_all_but_some_is_public_unless_a_condition_ties_the_caller() {
        let statement = |condition: Value| {
            analyse(&policy(&json!({"Effect": "Allow", "NotPrincipal": {"AWS": "111122223333"},
                "NotAction": "kms:Delete*", "Condition": condition})))
        };
        let open = statement(json!(null));
        assert_eq!(open.access, Access::Public);
        assert_eq!(open.findings[0].reason, Exposure::NotPrincipal);
        assert_eq!(open.findings[0].actions, ["!kms:Delete*"]);
        assert_eq!(open.findings[0].statement(), "#0");
        let tied = statement(json!({"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}));
        assert_eq!(tied.access, Access::Restricted);
    }

    #[test]
    fn the_reason_tells_a_service_tie_from_an_idle_condition() {
        for (condition, reason) in [
            (json!({}), Exposure::NoCondition),
            (
                json!({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}),
                Exposure::ViaServiceOnly,
            ),
            (json!({"Bool": {"aws:SecureTransport": "true"}}), Exposure::OpenCondition),
            (json!({"StringEquals": "kms:CallerAccount"}), Exposure::OpenCondition),
        ] {
            let analysis = everybody_under(&condition);
            assert_eq!(analysis.access, Access::Public, "{condition}");
            assert_eq!(analysis.findings[0].reason, reason, "{condition}");
        }
    }

    #[test]
    fn the_policy_of_an_aws_managed_key_is_restricted() {
        let analysis = everybody_under(&json!({"StringEquals": {
            "kms:CallerAccount": "111122223333",
            "kms:ViaService": "dynamodb.eu-west-1.amazonaws.com",
        }}));
        assert_eq!(analysis.access, Access::Restricted);
    }

    #[test]
    fn only_the_open_statements_of_a_policy_are_reported() {
        let analysis = analyse(&policy(&json!([
            {"Sid": "Root", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*"},
            {"Effect": "Deny", "Principal": "*", "Action": "kms:*"},
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt"},
            17,
        ])));
        assert_eq!(analysis.access, Access::Public);
        assert_eq!(analysis.unreadable, Some("malformed"));
        let places: Vec<String> = analysis.findings.iter().map(PolicyFinding::statement).collect();
        assert_eq!(places, ["#2"]);
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_neither_public_nor_restricted() {
        for (text, reason) in [
            ("", "truncated"),
            (r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Al"#, "truncated"),
            ("null", "malformed"),
            ("[]", "malformed"),
            ("{}", "malformed"),
            (r#"{"Statement": "Allow"}"#, "malformed"),
            (r#"{"Statement": [{"Principal": "*"}]}"#, "malformed"),
            (r#"{"Statement": [{"Effect": "Permit", "Principal": "*"}]}"#, "malformed"),
            (r#"{"Statement": [{"Effect": "Allow", "Principal": true}]}"#, "malformed"),
            (r#"{"Statement": [{"Effect": "Allow", "Principal": {"AWS": {}}}]}"#, "malformed"),
            (
                r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Condition": "x"}]}"#,
                "malformed",
            ),
        ] {
            let analysis = analyse(text);
            assert_eq!(analysis.access, Access::Unreadable, "{text}");
            assert_eq!(analysis.unreadable, Some(reason), "{text}");
            assert!(principals(text).is_empty() || reason == "malformed", "{text}");
        }
    }

    #[test]
    fn principals_are_those_that_are_allowed_each_once() {
        let text = policy(&json!([
            {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:root", "444455556666"]}},
            {"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com", "AWS": "444455556666"}},
            {"Effect": "Deny", "Principal": {"AWS": "777788889999"}},
            {"Effect": "Allow", "NotPrincipal": {"AWS": "777788889999"}},
        ]));
        let mut found = principals(&text);
        found.sort();
        assert_eq!(
            found,
            ["*", "444455556666", "arn:aws:iam::111122223333:root", "logs.amazonaws.com"]
        );
        assert!(principals("{").is_empty());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            Just("Allow"),
            Just("*"),
            Just("Principal"),
            Just("aws:PrincipalArn"),
            Just("arn:aws:iam::*:root"),
            Just("ForAllValues:StringLikeIfExists"),
        ];
        let leaf = prop_oneof![
            word.prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("Effect".to_owned()),
            Just("Principal".to_owned()),
            Just("Condition".to_owned()),
            Just("StringLike".to_owned()),
            Just("aws:SourceIp".to_owned()),
            Just("AWS".to_owned()),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_policy_makes_the_reader_panic(value in any_json(), text in "\\PC{0,60}") {
            analyse(&value.to_string());
            analyse(&policy(&value));
            principals(&policy(&value));
            analyse(&text);
        }
    }
}
