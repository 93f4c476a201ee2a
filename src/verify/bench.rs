//! Where a check is carried out: a session of its own, names for temporary keys, positive controls,
//! and the removal of what was made, whatever happens.

use cryptoki_sys::{
    CKA_LABEL, CKA_TOKEN, CKF_UNWRAP, CKF_WRAP, CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_ECB,
    CKM_AES_KEY_GEN, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD,
};
use serde_json::{Map, Value as Json, json};

use super::names;
use super::orphan::RunId;
use super::outside::{self, Secret};
use super::policy::Policy;
use super::result::Verdict;
use super::run::forget;
use super::template::Template;
use super::token::Token;
use super::token::trouble::Trouble;
use super::wire::{Attribute, Bytes, Mechanism, MechanismInfo, Operation, Value};

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) function: Option<String>,
    pub(super) rv: Option<String>,
    pub(super) message: String,
    pub(super) evidence: Map<String, Json>,
    /// A key's URI; the token where there is none.
    pub(super) subject: Option<String>,
}

impl Outcome {
    pub(super) fn new(verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            verdict,
            function: None,
            rv: None,
            message: message.into(),
            evidence: Map::new(),
            subject: None,
        }
    }

    pub(super) fn pass(message: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, message)
    }

    pub(super) fn fail(message: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, message)
    }

    pub(super) fn not_applicable(message: impl Into<String>) -> Self {
        Self::new(Verdict::NotApplicable, message)
    }

    /// Adds a fact.
    pub(super) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.evidence.insert(name.to_owned(), value.into());
        self
    }

    /// Says which call decided.
    pub(super) fn at(mut self, function: &str, rv: u64) -> Self {
        self.function = Some(function.to_owned());
        self.rv = Some(names::rv(rv));
        self
    }

    pub(super) fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }
}

/// What became of something that should be refused.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    /// It was not.
    Allowed(T),
    /// It was, in a way that the standard foresees.
    Refused { function: String, rv: u64 },
}

/// Tells a refusal, by one of the codes in `set`, from success and from everything else.
pub(super) fn attempt<T>(result: Result<T, Trouble>, set: &[u64]) -> Result<Attempt<T>, Trouble> {
    match result {
        Ok(value) => Ok(Attempt::Allowed(value)),
        Err(Trouble::Refused { function, rv }) if set.contains(&rv) => {
            Ok(Attempt::Refused { function, rv })
        }
        Err(trouble) => Err(trouble),
    }
}

/// A key that wraps, whose value is known, with the mechanism that was seen to work.
pub(super) struct Kek {
    pub(super) handle: u64,
    pub(super) value: Secret,
    pub(super) mechanism: u64,
    pub(super) iv: [u8; 16],
}

impl Kek {
    pub(super) fn how(&self) -> Mechanism {
        wrapping(self.mechanism, &self.iv)
    }
}

/// Mechanisms that wrap, the best first.
pub(super) const WRAPPING: &[u64] = &[
    CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_KWP,
    CKM_AES_KEY_WRAP_PAD,
    CKM_AES_CBC_PAD,
    CKM_AES_CBC,
    CKM_AES_ECB,
];

/// A wrapping mechanism with the parameter that it takes.
pub(super) fn wrapping(mechanism: u64, iv: &[u8; 16]) -> Mechanism {
    match mechanism {
        CKM_AES_CBC | CKM_AES_CBC_PAD => Mechanism::iv(mechanism, iv),
        _ => Mechanism::plain(mechanism),
    }
}

/// The place of one check.
pub(super) struct Bench<'b, 'a> {
    pub(super) token: &'b mut Token<'a>,
    pub(super) session: u64,
    pub(super) run: &'b RunId,
    pub(super) policy: &'b Policy,
    pub(super) mechanisms: &'b [MechanismInfo],
    /// Objects on the token itself that the check made.
    pub(super) kept: Vec<u64>,
    /// Labels given to objects on the token itself in the whole run.
    pub(super) labels: &'b mut Vec<String>,
    /// Those, once for each object, that were not seen to be destroyed.
    pub(super) maybe: &'b mut Vec<String>,
}

impl Bench<'_, '_> {
    /// A label and an id for a temporary key.
    pub(super) fn name(&self, role: &str) -> Result<(String, Vec<u8>), Trouble> {
        let id = outside::random(8).ok_or_else(no_random)?;
        Ok((self.run.label(role), id.to_vec()))
    }

    pub(super) fn random(bytes: usize) -> Result<Secret, Trouble> {
        outside::random(bytes).ok_or_else(no_random)
    }

    /// Something fresh to sign, which says when and by whom it was asked for.
    pub(super) fn nonce(&self) -> Result<Vec<u8>, Trouble> {
        let now = (self.token.access.clock)();
        let random = outside::hex(&Bench::random(16)?);
        Ok(format!("keytrail verify|{}|{now}|{random}", self.run).into_bytes())
    }

    /// Whether the token names a mechanism, and for a use where one is given.
    pub(super) fn has(&self, kind: u64, flag: u64) -> bool {
        self.mechanisms.iter().any(|info| info.kind == kind && info.flags & flag == flag)
    }

    /// Those of some mechanisms that the token names, in the order given.
    pub(super) fn offered(&self, kinds: &[u64], flag: u64) -> Vec<u64> {
        kinds.iter().copied().filter(|kind| self.has(*kind, flag)).collect()
    }

    /// Fails where the token names none of some mechanisms.
    pub(super) fn needs(&self, kinds: &[u64]) -> Result<u64, Trouble> {
        let found = kinds.iter().find(|kind| self.has(**kind, 0)).copied();
        found.ok_or_else(|| {
            let names: Vec<String> = kinds.iter().map(|kind| names::mechanism(*kind)).collect();
            Trouble::Missing(format!("the token has no {}", names.join(" or ")))
        })
    }

    /// Has the token make an AES key.
    pub(super) fn generate(&mut self, template: Template) -> Result<u64, Trouble> {
        self.needs(&[CKM_AES_KEY_GEN])?;
        let template = template.done();
        let label = self.note_label(&template, 1);
        let how = Mechanism::plain(CKM_AES_KEY_GEN);
        let result = self.token.generate(self.session, how, template);
        self.keep(label.as_ref(), result.as_ref().map(|key| vec![*key]));
        result
    }

    /// Gives the token an object.
    pub(super) fn create(&mut self, template: Template) -> Result<u64, Trouble> {
        let template = template.done();
        let label = self.note_label(&template, 1);
        let result = self.token.create(self.session, template);
        self.keep(label.as_ref(), result.as_ref().map(|key| vec![*key]));
        result
    }

    /// Has the token make a pair; gives the public and the private key.
    pub(super) fn pair(
        &mut self,
        mechanism: u64,
        public: Template,
        private: Template,
    ) -> Result<(u64, u64), Trouble> {
        self.needs(&[mechanism])?;
        let (public, private) = (public.done(), private.done());
        let label = self.note_label(&private, 2);
        let how = Mechanism::plain(mechanism);
        let result = self.token.generate_pair(self.session, how, public, private);
        self.keep(label.as_ref(), result.as_ref().map(|pair| vec![pair.0, pair.1]));
        result
    }

    /// Writes down, before the call, what the call may leave behind.
    fn note_label(&mut self, template: &[Attribute], objects: usize) -> Option<String> {
        let stays = template.iter().any(|a| a.kind == CKA_TOKEN && a.value.0.as_slice() == [1]);
        let label = template.iter().find(|a| a.kind == CKA_LABEL).filter(|_| stays)?;
        let label = String::from_utf8_lossy(&label.value.0).into_owned();
        self.labels.push(label.clone());
        self.maybe.extend(vec![label.clone(); objects]);
        Some(label)
    }

    /// Keeps the objects in mind, or forgets them where the token said that there are none.
    fn keep(&mut self, label: Option<&String>, made: Result<Vec<u64>, &Trouble>) {
        match made {
            Ok(objects) if label.is_some() => self.kept.extend(objects),
            Err(Trouble::Refused { .. }) => {
                forget(self.maybe, label);
                forget(self.maybe, label);
            }
            _ => {}
        }
    }

    /// Destroys an object that the check made.
    pub(super) fn destroy(&mut self, object: u64) -> Result<(), Trouble> {
        self.token.destroy(self.session, object)?;
        self.kept.retain(|kept| *kept != object);
        forget(self.maybe, self.token.labels.get(&object));
        Ok(())
    }

    /// An AES key of known value in the token, allowed to wrap or whatever else is asked for.
    pub(super) fn known_aes(
        &mut self,
        role: &str,
        letters: &str,
    ) -> Result<(u64, Secret), Trouble> {
        let (label, id) = self.name(role)?;
        let value = Bench::random(32)?;
        let template = Template::aes_of((&label, &id), &value).uses(letters);
        Ok((self.create(template)?, value))
    }

    /// A positive control: a key of known value wraps another of known value, and outside of the
    /// token the second comes out. The mechanism that did it is the one to test with.
    pub(super) fn wrapping_control(&mut self) -> Result<Kek, Trouble> {
        let (handle, value) = self.known_aes("kek", "wu")?;
        let (label, id) = self.name("control")?;
        let target = Bench::random(32)?;
        let template = Template::aes_of((&label, &id), &target)
            .flag(cryptoki_sys::CKA_EXTRACTABLE, true)
            .uses("ed");
        let control = self.create(template)?;
        let mut iv = [0; 16];
        iv.iter_mut().zip(Bench::random(16)?.iter()).for_each(|(to, from)| *to = *from);
        let mut last = Trouble::Missing("the token has no mechanism that wraps keys".to_owned());
        for mechanism in self.offered(WRAPPING, CKF_WRAP) {
            match self.token.wrap(self.session, wrapping(mechanism, &iv), handle, control) {
                Ok(wrapped) => {
                    let opened = outside::unwrap(mechanism, &value, &iv, &wrapped.0);
                    if opened.is_some_and(|opened| opened.as_slice() == target.as_slice()) {
                        return Ok(Kek { handle, value, mechanism, iv });
                    }
                    last = Trouble::Unclear(format!(
                        "what {} wraps does not come out alike outside the token",
                        names::mechanism(mechanism)
                    ));
                }
                Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    /// The same for unwrapping: a mechanism that the token says it unwraps with.
    pub(super) fn unwraps(&self, mechanism: u64) -> bool {
        self.has(mechanism, CKF_UNWRAP)
    }

    /// Encrypts blocks by AES-CBC in the token.
    pub(super) fn encrypt(
        &mut self,
        key: u64,
        iv: &[u8; 16],
        data: &[u8],
    ) -> Result<Bytes, Trouble> {
        self.needs(&[CKM_AES_CBC])?;
        let how = Mechanism::iv(CKM_AES_CBC, iv);
        self.token.work(self.session, Operation::Encrypt, (how, key), data)
    }

    /// Decrypts blocks by AES-CBC in the token.
    pub(super) fn decrypt(
        &mut self,
        key: u64,
        iv: &[u8; 16],
        data: &[u8],
    ) -> Result<Bytes, Trouble> {
        let how = Mechanism::iv(CKM_AES_CBC, iv);
        self.token.work(self.session, Operation::Decrypt, (how, key), data)
    }

    /// Whether a key in the token encrypts as one of known value does outside.
    pub(super) fn encrypts_alike(&mut self, key: u64, value: &[u8]) -> Result<bool, Trouble> {
        let (data, iv) = (Bench::random(32)?, [9; 16]);
        let inside = self.encrypt(key, &iv, &data)?;
        Ok(outside::aes_cbc(value, &iv, &data).is_some_and(|outside| outside == *inside.0))
    }

    /// A boolean attribute; `None` where the object has none.
    pub(super) fn flag(&mut self, object: u64, kind: u64) -> Result<Option<bool>, Trouble> {
        Ok(flag_of(&self.token.read_one(self.session, object, kind)?))
    }
}

/// A value as a boolean.
pub(super) fn flag_of(value: &Value) -> Option<bool> {
    match value {
        Value::Is { value } => match value.0.as_slice() {
            [byte] => Some(*byte != 0),
            _ => None,
        },
        _ => None,
    }
}

/// A value as a number; `None` also for "unavailable".
pub(super) fn number_of(value: &Value) -> Option<u64> {
    let Value::Is { value } = value else { return None };
    let bytes: [u8; 8] = value.0.as_slice().try_into().ok()?;
    Some(u64::from_ne_bytes(bytes)).filter(|number| *number != u64::MAX)
}

/// The state of an attribute in words, for evidence; values of three states are kept apart.
pub(super) fn state(value: &Value) -> Json {
    match value {
        Value::Is { value } => match value.0.as_slice() {
            [byte @ (0 | 1)] => json!(*byte == 1),
            bytes => json!(outside::hex(bytes)),
        },
        Value::Sensitive => json!("sensitive"),
        Value::Invalid => json!("absent"),
        Value::Unavailable => json!("unavailable"),
        Value::Template { bytes } => json!(format!("template of {bytes} bytes")),
        Value::Error { rv } => json!(format!("error {}", names::rv(*rv))),
        Value::Overlong { length } => json!(format!("overlong: {length} bytes")),
    }
}

fn no_random() -> Trouble {
    Trouble::Unclear("this machine gives no random bytes".to_owned())
}
