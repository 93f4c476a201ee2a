//! What the path of a file tells about its content: identity, never format.

use super::super::Context;

/// Where a file's records come from, as far as flags and its path tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `--account`.
    pub account: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--stream GROUP/STREAM`, split at the last slash.
    pub stream: Option<(String, String)>,
}

impl Origin {
    /// The context for the records of the file at `path`: flags first, then parts of the path
    /// (`hsm-…`, `cluster-…`, the account after `AWSLogs`).
    pub fn context(&self, path: &str) -> Context {
        let parts: Vec<&str> = path.split(['/', '\\']).collect();
        let hsm = parts.iter().rev().find_map(|part| named(part, "hsm-"));
        let cluster = parts.iter().rev().find_map(|part| named(part, "cluster-"));
        let (group, stream) = match &self.stream {
            Some((group, stream)) => (Some(group.clone()), Some(stream.clone())),
            None => (
                cluster.as_ref().map(|cluster| format!("/aws/cloudhsm/{cluster}")),
                hsm.or_else(|| cluster.clone()),
            ),
        };
        Context {
            account: self.account.clone().or_else(|| trail_account(&parts)),
            region: self.region.clone(),
            log_group: group,
            log_stream: stream,
        }
    }
}

/// The leading `<prefix><letters and digits>` of a part of a path.
fn named(part: &str, prefix: &str) -> Option<String> {
    let rest = part.strip_prefix(prefix)?;
    let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    (id.len() >= 4).then(|| format!("{prefix}{id}"))
}

/// The 12-digit account in `…/AWSLogs/[o-…/]<account>/…`, the layout of a trail's bucket.
fn trail_account(parts: &[&str]) -> Option<String> {
    let (_, rest) = parts.split_at(parts.iter().position(|part| *part == "AWSLogs")?);
    rest.iter()
        .take(4)
        .find(|part| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|part| (*part).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_and_account_come_from_flags_then_from_the_path() {
        let none = Origin::default();
        let context = none.context("logs/cluster-abcd1234/hsm-wxyz9876.log.gz");
        assert_eq!(context.log_group.as_deref(), Some("/aws/cloudhsm/cluster-abcd1234"));
        assert_eq!(context.log_stream.as_deref(), Some("hsm-wxyz9876"));
        let context = none.context("AWSLogs/o-abc/111122223333/CloudTrail/eu-west-1/x.json.gz");
        assert_eq!(context.account.as_deref(), Some("111122223333"));
        assert_eq!(none.context("hsm-log.txt").log_stream, None);
        let flags = Origin {
            stream: Some(("/aws/cloudhsm/cluster-x".to_owned(), "hsm-y".to_owned())),
            ..Origin::default()
        };
        assert_eq!(flags.context("hsm-wxyz9876").log_stream.as_deref(), Some("hsm-y"));
    }
}
