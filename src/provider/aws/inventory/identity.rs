//! Which key a document is about: regional key ARNs, and ids completed to them.

use crate::event::Provider;

use super::super::super::inventory::{InventoryContext, KeyRow};
use super::super::super::{Reason, Reject};

/// The parts of a regional key ARN (`arn:<partition>:kms:<region>:<account>:key/<id>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyArn {
    region: String,
    account: String,
    id: String,
    arn: String,
}

/// Where a key lives, for ids that do not say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place<'a> {
    pub(super) account: Option<&'a str>,
    pub(super) region: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub(super) fn of(context: &'a InventoryContext) -> Self {
        Self { account: context.account.as_deref(), region: context.region.as_deref() }
    }

    /// The place that an ARN of any kind names, and this one where it names none.
    pub(super) fn or_of_arn(self, arn: Option<&'a str>) -> Self {
        let mut parts = arn
            .unwrap_or_default()
            .split(':')
            .map(|part| Some(part).filter(|part| !part.is_empty()));
        let region = parts.nth(3).flatten();
        let account = parts.next().flatten();
        Self { account: account.or(self.account), region: region.or(self.region) }
    }
}

impl KeyArn {
    /// Reads a key's ARN; `None` when it is of anything else, an alias for one.
    pub(super) fn parse(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "kms", region, account, resource] = *parts.as_slice() else {
            return None;
        };
        let id = resource.strip_prefix("key/")?;
        let complete = !partition.is_empty() && !region.is_empty() && !account.is_empty();
        (complete && is_key_id(id)).then(|| Self {
            region: region.to_owned(),
            account: account.to_owned(),
            id: id.to_owned(),
            arn: arn.to_owned(),
        })
    }

    /// Makes a key's ARN of its ARN or id.
    ///
    /// # Errors
    /// When it is no key, or an id without account or region to complete it.
    pub(super) fn complete(key: &str, place: Place<'_>) -> Result<Self, Reject> {
        if let Some(arn) = Self::parse(key) {
            return Ok(arn);
        }
        if !is_key_id(key) {
            let detail = format!("neither the id nor the ARN of a KMS key: {:?}", start_of(key));
            return Err(Reject::new(Reason::BadType, detail));
        }
        let account = place.account.ok_or_else(|| incomplete("account"))?;
        let region = place.region.ok_or_else(|| incomplete("region"))?;
        let partition = partition_of(region);
        Ok(Self {
            region: region.to_owned(),
            account: account.to_owned(),
            id: key.to_owned(),
            arn: format!("arn:{partition}:kms:{region}:{account}:key/{key}"),
        })
    }

    /// A row that names this key and nothing else.
    pub(super) fn row(self) -> KeyRow {
        let mut row = KeyRow::new(Provider::Aws, self.arn);
        row.account = Some(self.account);
        row.region = Some(self.region);
        row.key_group = self.id.starts_with("mrk-").then_some(self.id);
        row
    }
}

/// The key that a document without a key of its own is about.
///
/// # Errors
/// When neither the document nor the context names one.
pub(super) fn key_of(named: Option<&str>, context: &InventoryContext) -> Result<KeyArn, Reject> {
    let key = named.or(context.key_hint.as_deref()).ok_or_else(|| {
        Reject::new(
            Reason::MissingField,
            "the field `KeyId` is missing, and the name of the file holds no key id or ARN",
        )
    })?;
    match context.key_hint.as_deref().and_then(KeyArn::parse) {
        Some(hint) if hint.id == key => Ok(hint),
        _ => KeyArn::complete(key, Place::of(context)),
    }
}

fn incomplete(field: &str) -> Reject {
    Reject::new(
        Reason::MissingField,
        format!("the field `{field}` is missing: give --account and --region"),
    )
}

fn start_of(text: &str) -> String {
    text.chars().take(80).collect()
}

/// AWS documents the partitions' names with the ARN format (IAM User Guide, "IAM identifiers").
fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

fn is_key_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 256
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Finds the key that the name of a file or folder in `path` gives: the last UUID or `mrk-` id,
/// with the ARN around it where that is spelled out (`:` and `/` may have become `_` or `%3A`).
/// `None` when no name in it looks like a key's.
pub fn key_hint_from_path(path: &str) -> Option<String> {
    /// Both a UUID and `mrk-` with 32 digits.
    const ID_LENGTH: usize = 36;
    let path = path.to_ascii_lowercase().replace("%3a", ":").replace("%2f", "/");
    let (start, id) = path.char_indices().rev().find_map(|(start, _)| {
        let id = path.get(start..start + ID_LENGTH)?;
        let found = (is_uuid(id) || is_multi_region_id(id)) && stands_alone(&path, start, id.len());
        found.then_some((start, id))
    })?;
    let before = path.get(..start).and_then(arn_before).unwrap_or_default();
    Some(format!("{before}{id}"))
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn is_multi_region_id(text: &str) -> bool {
    text.strip_prefix("mrk-").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether the id is not a piece of a longer number.
fn stands_alone(path: &str, start: usize, length: usize) -> bool {
    let before = path.get(..start).and_then(|text| text.chars().next_back());
    let after = path.get(start + length..).and_then(|text| text.chars().next());
    ![before, after].into_iter().flatten().any(char::is_alphanumeric)
}

/// The ARN up to its id, where `text` ends in it.
fn arn_before(text: &str) -> Option<String> {
    let text = text.strip_suffix(is_separator)?.strip_suffix("key")?.strip_suffix(is_separator)?;
    let (text, account) = text.rsplit_once(is_separator)?;
    let (text, region) = text.rsplit_once(is_separator)?;
    let (text, service) = text.rsplit_once(is_separator)?;
    let (text, partition) = text.rsplit_once(is_separator)?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let known = text.ends_with("arn") && partition.starts_with("aws") && service == "kms";
    (known && is_account && is_key_id(region))
        .then(|| format!("arn:{partition}:kms:{region}:{account}:key/"))
}

fn is_separator(character: char) -> bool {
    matches!(character, ':' | '/' | '\\' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0d990263-018e-4e65-a703-eff731de951e";

    #[test]
    fn a_path_names_the_last_key_in_it() {
        let other = "11111111-2222-3333-4444-555555555555";
        let multi = "mrk-1234abcd12ab34cd56ef1234567890ab";
        let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{ID}");
        for (path, expected) in [
            (format!("policies/{ID}.json"), Some(ID.to_owned())),
            (format!("{ID}/get-key-policy.json"), Some(ID.to_owned())),
            (format!("{other}/{ID}/policy.json"), Some(ID.to_owned())),
            (format!("get-key-policy-{ID}-2024.json"), Some(ID.to_owned())),
            (format!("policy_{}.json", ID.to_uppercase()), Some(ID.to_owned())),
            (format!("a/{multi}.json"), Some(multi.to_owned())),
            (format!("x/arn:aws:kms:eu-west-1:111122223333:key/{ID}.json"), Some(arn.clone())),
            (format!("x/arn_aws_kms_eu-west-1_111122223333_key_{ID}.json"), Some(arn.clone())),
            (format!("arn%3Aaws%3Akms%3Aeu-west-1%3A111122223333%3Akey%2F{ID}"), Some(arn)),
            (
                format!("arn_aws-cn_kms_cn-north-1_111122223333_key_{multi}.json"),
                Some(format!("arn:aws-cn:kms:cn-north-1:111122223333:key/{multi}")),
            ),
            (format!("arn_aws_s3_eu-west-1_111122223333_key_{ID}"), Some(ID.to_owned())),
            (format!("arn_aws_kms_eu-west-1_1111_key_{ID}"), Some(ID.to_owned())),
            (format!("x{ID}.json"), None),
            (format!("{ID}0.json"), None),
            ("mrk-1234abcd12ab34cd56ef1234567890ag.json".to_owned(), None),
            ("describe-key.json".to_owned(), None),
            ("für/Schlüssel-ÄÖÜ-ÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜ".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(key_hint_from_path(&path), expected, "{path}");
        }
    }

    #[test]
    fn an_id_is_completed_with_the_partition_of_its_region() {
        for (region, partition) in
            [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
        {
            let place = Place { account: Some("111122223333"), region: Some(region) };
            let row = KeyArn::complete(ID, place).unwrap().row();
            assert_eq!(row.key_id, format!("arn:{partition}:kms:{region}:111122223333:key/{ID}"));
            assert_eq!(row.region.as_deref(), Some(region));
            assert_eq!(row.key_group, None);
        }
    }

    #[test]
    fn an_id_without_account_or_region_is_rejected_with_the_flags_to_give() {
        for place in [
            Place::default(),
            Place { account: Some("111122223333"), region: None },
            Place { account: None, region: Some("eu-west-1") },
        ] {
            let reject = KeyArn::complete(ID, place).unwrap_err();
            assert_eq!(reject.reason, Reason::MissingField);
            assert!(reject.detail.contains("--account and --region"), "{}", reject.detail);
        }
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let place = Place { account: Some("111122223333"), region: Some("eu-west-1") };
        for text in [
            "alias/payments",
            "arn:aws:kms:eu-west-1:111122223333:alias/payments",
            "arn:aws:s3:eu-west-1:111122223333:key/x",
            "arn:aws:kms::111122223333:key/x",
            "arn:aws:kms:eu-west-1:111122223333:key/",
            "a b",
            "",
        ] {
            assert_eq!(
                KeyArn::complete(text, place).unwrap_err().reason,
                Reason::BadType,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_search_panic(path in "\\PC{0,90}", tail in "[0-9a-f-]{30,40}") {
            key_hint_from_path(&path);
            key_hint_from_path(&format!("{path}{tail}"));
        }
    }
}
