//! What was refused or is not known, told once for each permission.

use std::collections::BTreeMap;

use super::super::super::source::{Note, SourceError};
use super::Operation;

/// Refusals by permission: how many, the first one's subject, and what the provider said.
#[derive(Debug, Default)]
pub(super) struct Refused {
    denied: BTreeMap<String, (usize, String, String)>,
    unknown: BTreeMap<String, String>,
}

/// Codes that mean that a subject is gone, or that the question does not apply to it.
const NOT_HERE: &[&str] = &[
    "NotFoundException",
    "UnsupportedOperationException",
    "KMSInvalidStateException",
    "ResourceNotFoundException",
    "CloudHsmResourceNotFoundException",
    "TrailNotFoundException",
];

/// Operations without which the inventory is good: a region that fails them is not given up.
const OPTIONAL: &[&str] =
    &["GetKeyLastUsage", "DescribeCustomKeyStores", "GetResourcePolicy", "ListPublicKeys"];

/// Codes by which a service, or an emulator of one, says that it does not know an operation.
const UNKNOWN: &[&str] = &[
    "UnknownOperationException",
    "InvalidAction",
    "NotImplemented",
    "not implemented",
    "not been implemented",
];

impl Refused {
    /// Takes the outcome of a call about `subject` (empty for one about all): `None` where it was
    /// refused, does not apply or is not known.
    ///
    /// # Errors
    /// When it failed in any other way.
    pub(super) fn pass<T>(
        &mut self,
        operation: Operation,
        subject: &str,
        outcome: Result<T, SourceError>,
    ) -> Result<Option<T>, SourceError> {
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(SourceError::Denied { detail, permission, .. }) => {
                let entry =
                    self.denied.entry(permission).or_insert((0, subject.to_owned(), detail));
                entry.0 += 1;
                Ok(None)
            }
            Err(SourceError::Answer { detail, .. }) if has(UNKNOWN, &detail) => {
                self.unknown.insert(operation.permission(), detail);
                Ok(None)
            }
            Err(SourceError::Answer { detail, status: 500.., .. })
                if OPTIONAL.contains(&operation.name) =>
            {
                self.unknown.insert(operation.permission(), detail);
                Ok(None)
            }
            Err(SourceError::Answer { detail, .. }) if has(NOT_HERE, &detail) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds what was refused elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        for (permission, (count, subject, detail)) in other.denied {
            self.denied.entry(permission).or_insert((0, subject, detail)).0 += count;
        }
        self.unknown.extend(other.unknown);
    }

    /// What to tell.
    pub(super) fn notes(self, region: &str) -> Vec<Note> {
        let denied = self.denied.into_iter().map(|(permission, (count, subject, detail))| {
            let about = if subject.is_empty() { String::new() } else { format!(" for {subject}") };
            let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            Note {
                message: format!("{permission} was refused in {region}{about}{more}: {detail}"),
                hint: Some(format!("grant {permission}, also in the key's own policy")),
            }
        });
        let unknown = self.unknown.into_iter().map(|(permission, detail)| Note {
            message: format!("{permission} is not answered in {region}: {detail}"),
            hint: None,
        });
        denied.chain(unknown).collect()
    }
}

fn has(codes: &[&str], detail: &str) -> bool {
    codes.iter().any(|code| detail.contains(code))
}
