//! Rules on algorithms as dated data: what a publication forbids, from when on, and where it says so.

use cryptoki_sys::{
    CKK_AES, CKK_DES, CKK_DES2, CKK_DES3, CKK_DH, CKK_DSA, CKK_EC, CKK_GENERIC_SECRET, CKK_RC2,
    CKK_RC4, CKK_RSA, CKK_SHA_1_HMAC, CKK_SHA256_HMAC,
};

use crate::verify::environment::matches;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// May be used to read what is old, not to make anything new.
    Legacy,
    /// To be given up.
    Deprecated,
    /// Not to be used.
    Disallowed,
}

impl Standing {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy use only",
            Self::Deprecated => "deprecated",
            Self::Disallowed => "disallowed",
        }
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy)]
pub enum Matter {
    /// Mechanisms, by a pattern of their names.
    Mechanism(&'static str),
    /// Keys of a type with fewer bits than so many.
    Key(u64, u64),
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Clause {
    /// What it is about.
    pub matter: Matter,
    /// What it says.
    pub standing: Standing,
    /// The first day on which it holds, `YYYY-MM-DD`.
    pub from: &'static str,
    /// Where it stands.
    pub source: &'static str,
}

/// A publication.
#[derive(Debug, Clone, Copy)]
pub struct Pack {
    /// How a policy names it.
    pub name: &'static str,
    /// Its title and date.
    pub title: &'static str,
    /// What it says.
    pub clauses: &'static [Clause],
}

const fn mechanism(
    pattern: &'static str,
    standing: Standing,
    from: &'static str,
    source: &'static str,
) -> Clause {
    Clause { matter: Matter::Mechanism(pattern), standing, from, source }
}

const fn key(kind: u64, bits: u64, from: &'static str, source: &'static str) -> Clause {
    Clause { matter: Matter::Key(kind, bits), standing: Disallowed, from, source }
}

/// Any number of bits.
const ALL: u64 = u64::MAX;

use Standing::{Deprecated, Disallowed, Legacy};

/// The packs there are.
pub const PACKS: &[Pack] = &[
    Pack { name: "sp800-131a-r2", title: "NIST SP 800-131A Revision 2, March 2019", clauses: R2 },
    Pack {
        name: "sp800-131a-r3-draft",
        title: "NIST SP 800-131A Revision 3, draft of October 2024",
        clauses: R3_DRAFT,
    },
    Pack {
        name: "cnsa2",
        title: "NSA CNSA 2.0, May 2025 (classical part, for new systems from 2027)",
        clauses: CNSA2,
    },
];

/// <https://doi.org/10.6028/NIST.SP.800-131Ar2>
const R2: &[Clause] = &[
    key(CKK_RSA, 2048, "2014-01-01", "section 3, table 2"),
    key(CKK_DSA, 2048, "2014-01-01", "section 3, table 2"),
    key(CKK_DSA, ALL, "2024-02-03", "FIPS 186-5 withdraws DSA"),
    key(CKK_DH, 2048, "2014-01-01", "section 5, table 4"),
    key(CKK_EC, 224, "2014-01-01", "section 3, table 2"),
    key(CKK_DES, ALL, "2005-05-19", "FIPS 46-3 is withdrawn"),
    key(CKK_DES2, ALL, "2016-01-01", "section 2, table 1"),
    key(CKK_DES3, ALL, "2024-01-01", "section 2, table 1"),
    key(CKK_RC2, ALL, "1970-01-01", "not approved"),
    key(CKK_RC4, ALL, "1970-01-01", "not approved"),
    key(CKK_GENERIC_SECRET, 112, "2014-01-01", "section 10, table 9"),
    key(CKK_SHA_1_HMAC, 112, "2014-01-01", "section 10, table 9"),
    key(CKK_SHA256_HMAC, 112, "2014-01-01", "section 10, table 9"),
    mechanism("CKM_MD2*", Disallowed, "1970-01-01", "not approved"),
    mechanism("CKM_MD5*", Disallowed, "1970-01-01", "not approved"),
    mechanism("CKM_RC*", Disallowed, "1970-01-01", "not approved"),
    mechanism("CKM_DES_*", Disallowed, "2005-05-19", "FIPS 46-3 is withdrawn"),
    mechanism("CKM_DES2_*", Disallowed, "2016-01-01", "section 2, table 1"),
    mechanism("CKM_DES3_*", Legacy, "2024-01-01", "section 2, table 1"),
    mechanism("CKM_SHA1_RSA_*", Disallowed, "2014-01-01", "section 9, table 8"),
    mechanism("CKM_ECDSA_SHA1", Disallowed, "2014-01-01", "section 9, table 8"),
    mechanism("CKM_DSA*", Legacy, "2024-02-03", "FIPS 186-5 withdraws DSA"),
    mechanism("CKM_RSA_X_509", Disallowed, "1970-01-01", "section 6: no approved padding"),
];

/// <https://doi.org/10.6028/NIST.SP.800-131Ar3.ipd>
const R3_DRAFT: &[Clause] = &[
    mechanism("CKM_*_ECB", Disallowed, "2031-01-01", "section 2: confidentiality modes"),
    mechanism("CKM_SHA_1*", Disallowed, "2031-01-01", "section 9: hash functions"),
    mechanism("CKM_*SHA224*", Disallowed, "2031-01-01", "section 9: hash functions"),
    mechanism("CKM_SHA224*", Disallowed, "2031-01-01", "section 9: hash functions"),
    Clause {
        matter: Matter::Key(CKK_RSA, 3072),
        standing: Deprecated,
        from: "2031-01-01",
        source: "section 3: 112-bit strength",
    },
    Clause {
        matter: Matter::Key(CKK_EC, 256),
        standing: Deprecated,
        from: "2031-01-01",
        source: "section 3: 112-bit strength",
    },
];

/// <https://media.defense.gov/2025/May/30/2003728741/-1/-1/0/CSA_CNSA_2.0_ALGORITHMS.PDF>
const CNSA2: &[Clause] = &[
    key(CKK_RSA, 3072, "2016-01-01", "CNSA 1.0, until the transition is over"),
    key(CKK_EC, 384, "2016-01-01", "CNSA 1.0, until the transition is over"),
    key(CKK_AES, 256, "2016-01-01", "table I: AES-256"),
    mechanism("CKM_*SHA256*", Deprecated, "2027-01-01", "table I: SHA-384 or SHA-512"),
];

/// A rule that is broken.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    /// Of which pack.
    pub pack: &'static Pack,
    /// Which rule.
    pub clause: &'static Clause,
}

/// The rules of the packs named that hold on a day (`YYYY-MM-DD`).
pub fn clauses<'a>(names: &'a [String], day: &'a str) -> impl Iterator<Item = Broken> + 'a {
    let packs = PACKS.iter().filter(|pack| names.iter().any(|name| name == pack.name));
    packs
        .flat_map(|pack| pack.clauses.iter().map(move |clause| Broken { pack, clause }))
        .filter(move |broken| broken.clause.from <= day)
}

/// The rule that a key of so many bits breaks, the worst one first.
pub fn key_broken(names: &[String], day: &str, kind: u64, bits: u64) -> Option<Broken> {
    clauses(names, day)
        .filter(|broken| match broken.clause.matter {
            Matter::Key(of, least) => of == kind && bits < least,
            Matter::Mechanism(_) => false,
        })
        .max_by_key(|broken| broken.clause.standing)
}

/// The rule that a mechanism breaks, the worst one first.
pub fn mechanism_broken(names: &[String], day: &str, name: &str) -> Option<Broken> {
    clauses(names, day)
        .filter(|broken| match broken.clause.matter {
            Matter::Mechanism(pattern) => matches(pattern, name),
            Matter::Key(..) => false,
        })
        .max_by_key(|broken| broken.clause.standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_from_its_day_on() {
        let r2 = ["sp800-131a-r2".to_owned()];
        assert!(key_broken(&r2, "2023-12-31", CKK_DES3, 192).is_none());
        assert!(key_broken(&r2, "2024-01-01", CKK_DES3, 192).is_some());
        assert!(key_broken(&r2, "2026-01-01", CKK_RSA, 2048).is_none());
        assert!(key_broken(&r2, "2026-01-01", CKK_RSA, 1024).is_some());
        let broken = mechanism_broken(&r2, "2026-01-01", "CKM_DES3_CBC").unwrap();
        assert_eq!(broken.clause.standing, Legacy);
        assert!(mechanism_broken(&r2, "2026-01-01", "CKM_AES_GCM").is_none());
        assert!(mechanism_broken(&[], "2026-01-01", "CKM_MD5").is_none());
    }
}
