//! What is looked up: for each kind of log the lookups that together find all its events.

use super::super::cloudtrail::SERVICES;

/// One kind of log.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    /// Its name in cursors, which must not change.
    pub(super) word: &'static str,
    /// The kind of coverage that it is, if one.
    pub(super) kind: Option<&'static str>,
    /// Attribute and value of each lookup.
    pub(super) lookups: Vec<(&'static str, &'static str)>,
}

/// Word, kind of coverage, and services.
const TOPICS: &[(&str, Option<&str>, &[&str])] = &[
    (
        "aws.cloudtrail",
        Some("aws.cloudtrail"),
        &["cloudtrail.amazonaws.com", "logs.amazonaws.com", "organizations.amazonaws.com"],
    ),
    ("aws.cloudhsm.api", Some("aws.cloudhsm.api"), &["cloudhsm.amazonaws.com"]),
    ("payment-cryptography", None, &["payment-cryptography.amazonaws.com"]),
    ("aws.kms", Some("aws.kms"), &["kms.amazonaws.com"]),
];

/// The kinds of log. A service of which every event matters is one lookup; of another, which would
/// drown it in events of no interest, each operation that matters is one.
pub(super) fn topics() -> Vec<Topic> {
    let lookups = |sources: &[&str]| {
        let services = SERVICES.iter().filter(|service| sources.contains(&service.source));
        services
            .flat_map(|service| {
                let whole = service.whole.then_some(("EventSource", service.source));
                let single = service.operations.iter().filter(|_| !service.whole);
                whole.into_iter().chain(single.map(|(name, _)| ("EventName", *name)))
            })
            .collect()
    };
    let topic = |&(word, kind, sources): &_| Topic { word, kind, lookups: lookups(sources) };
    TOPICS.iter().map(topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::COVERAGE_KINDS;

    #[test]
    fn every_source_that_the_mapper_keeps_is_looked_up() {
        let all: Vec<_> = topics().into_iter().flat_map(|topic| topic.lookups).collect();
        for service in SERVICES {
            if service.whole {
                assert!(all.contains(&("EventSource", service.source)), "{}", service.source);
                continue;
            }
            for (name, _) in service.operations {
                assert!(all.contains(&("EventName", name)), "{name}");
            }
        }
    }

    #[test]
    fn what_is_covered_is_of_a_known_kind() {
        for kind in topics().into_iter().filter_map(|topic| topic.kind) {
            assert!(COVERAGE_KINDS.contains(&kind), "{kind}");
        }
    }
}
