//! The ids of the days and ledgers that this process writes to, so that they are read from the
//! store once and not again for every page.
//!
//! They hold for one version of the journal: a commit of this process takes them along, one of
//! another writer ends them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

/// How many ids are kept at most; each takes about twenty bytes.
const MOST: usize = 1 << 20;

/// How many parts a page may have: each id is looked for in all of them.
const PARTS: usize = 64;

/// A day and a ledger.
pub(super) type Part = (i32, String);

/// The hashes of all ids of some parts of the journal.
#[derive(Debug, Default)]
pub(super) struct Recent {
    version: Option<u64>,
    parts: BTreeMap<Part, HashSet<u64>>,
    hasher: RandomState,
}

impl Recent {
    /// Forgets what is known unless it is of this version.
    pub(super) fn at(&mut self, version: Option<u64>) {
        if self.version != version || version.is_none() {
            self.parts.clear();
            self.version = version;
        }
    }

    /// The parts that must be read from the store to find those of `ids` that are there: the ones
    /// that are not known, or all of them where an id may be among the known ones.
    pub(super) fn unread<'a>(
        &self,
        parts: &BTreeSet<Part>,
        mut ids: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<Part> {
        if parts.len() > PARTS {
            return parts.clone();
        }
        let known: Vec<_> = parts.iter().filter_map(|part| self.parts.get(part)).collect();
        let holds = |id: &str| {
            let hash = self.hash(id);
            known.iter().any(|ids| ids.contains(&hash))
        };
        if ids.any(holds) {
            return parts.clone();
        }
        parts.iter().filter(|part| !self.parts.contains_key(part)).cloned().collect()
    }

    /// What an id is kept as.
    pub(super) fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    /// Takes all ids of parts that were read, and leaves the parts that the page has not where
    /// there are too many.
    pub(super) fn learn(&mut self, page: &BTreeSet<Part>, read: BTreeMap<Part, HashSet<u64>>) {
        if self.count() > MOST {
            self.parts.retain(|part, _| page.contains(part));
        }
        self.parts.extend(read);
        if self.count() > MOST {
            self.parts.clear();
        }
    }

    /// Adds an id that is being committed, where its part is known.
    pub(super) fn add(&mut self, part: &Part, id: &str) {
        let hash = self.hash(id);
        if let Some(ids) = self.parts.get_mut(part) {
            ids.insert(hash);
        }
    }

    /// Goes on with the version that a commit made. Where another one came in between, or there are
    /// too many ids, nothing is known any more.
    pub(super) fn committed(&mut self, version: Option<u64>) {
        let next = self.version.map(|version| version + 1);
        if version.is_none() || version != next || self.count() > MOST {
            self.parts.clear();
        }
        self.version = version;
    }

    fn count(&self) -> usize {
        self.parts.values().map(HashSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(day: i32) -> Part {
        (day, "aws/1".to_owned())
    }

    fn parts(days: std::ops::Range<i32>) -> BTreeSet<Part> {
        days.map(part).collect()
    }

    fn at_three() -> Recent {
        let mut recent = Recent::default();
        recent.at(Some(3));
        let read = BTreeMap::from([(part(1), HashSet::from([recent.hash("a")]))]);
        recent.learn(&parts(1..2), read);
        recent
    }

    #[test]
    fn only_what_is_not_known_is_read_unless_an_id_is_there() {
        let mut recent = at_three();
        let unread =
            |recent: &Recent, days, id: &str| recent.unread(&parts(days), [id].into_iter());
        assert!(unread(&recent, 1..2, "b").is_empty());
        assert_eq!(unread(&recent, 1..3, "b"), parts(2..3));
        assert_eq!(unread(&recent, 1..3, "a"), parts(1..3));
        recent.add(&part(1), "b");
        recent.add(&part(2), "c");
        assert_eq!(unread(&recent, 1..2, "b"), parts(1..2));
        assert_eq!(unread(&recent, 1..3, "c"), parts(2..3));
        let many = i32::try_from(PARTS).unwrap() + 2;
        assert_eq!(unread(&recent, 1..many, "x"), parts(1..many));
    }

    #[test]
    fn what_is_known_outlives_an_own_commit_and_no_other() {
        let known = |recent: &Recent| recent.unread(&parts(1..2), std::iter::empty()).is_empty();
        let mut recent = at_three();
        recent.committed(Some(4));
        recent.at(Some(4));
        assert!(known(&recent));
        recent.committed(Some(6));
        assert!(!known(&recent), "somebody else made version 5");
        let mut recent = at_three();
        recent.at(Some(4));
        assert!(!known(&recent), "somebody else made version 4");
        let mut recent = at_three();
        recent.at(None);
        recent.learn(&parts(1..2), BTreeMap::from([(part(1), HashSet::new())]));
        recent.at(None);
        assert!(!known(&recent), "a version that is not known is no version");
    }

    #[test]
    fn too_many_ids_are_forgotten_and_old_days_first() {
        let mut recent = at_three();
        let many = |from: u64| (from..from + u64::try_from(MOST).unwrap()).collect::<HashSet<_>>();
        recent.learn(&parts(2..3), BTreeMap::from([(part(2), many(7))]));
        recent.learn(&parts(2..4), BTreeMap::from([(part(3), HashSet::new())]));
        assert!(recent.parts.is_empty() || !recent.parts.contains_key(&part(1)));
        let mut recent = at_three();
        recent.learn(&parts(2..3), BTreeMap::from([(part(2), many(0)), (part(3), many(1))]));
        assert_eq!(recent.count(), 0);
        recent.learn(&parts(2..3), BTreeMap::from([(part(2), many(0))]));
        recent.committed(Some(4));
        assert_eq!(recent.count(), MOST);
        recent.add(&part(2), "one more");
        recent.committed(Some(5));
        assert_eq!(recent.count(), 0);
    }
}
