//! The checks of a run one after the other, each in a session of its own, and the way back from a
//! worker that was lost.

use std::time::Instant;

use cryptoki_sys::CKF_USER_PIN_COUNT_LOW;
use jiff::Timestamp;

use super::Chosen;
use crate::verify::bench::{Bench, Outcome};
use crate::verify::check::exercise::remember;
use crate::verify::check::inventory::{Findings, blind};
use crate::verify::check::{CHECKS, Check, Exercise, Run};
use crate::verify::module::ModuleFile;
use crate::verify::names;
use crate::verify::orphan::{self, RunId};
use crate::verify::policy::{KeyPolicy, Policy};
use crate::verify::result::{
    CheckResult, KeyFacts, Known, Level, MechanismFacts, RunInfo, SCHEMA_VERSION, Summary,
    TokenFacts, Verdict, Verification,
};
use crate::verify::survey::{Key, survey};
use crate::verify::token::Token;
use crate::verify::token::trouble::Trouble;
use crate::verify::uri::Uri;
use crate::verify::wire::MechanismInfo;

/// A run under way.
pub(super) struct Course<'a> {
    token: Token<'a>,
    run: RunId,
    policy: Policy,
    level: Level,
    chosen: Vec<Uri>,
    known: Vec<Known>,
    mechanisms: Vec<MechanismInfo>,
    begun: Instant,
    results: Vec<CheckResult>,
    keys: Vec<Key>,
    /// Labels given to objects on the token itself.
    labels: Vec<String>,
    /// Those, once for each object, that were not seen to be destroyed.
    maybe: Vec<String>,
    remains: Vec<String>,
    removed: Vec<String>,
    remembered: Vec<Known>,
    warnings: Vec<String>,
    restarts: u32,
}

impl<'a> Course<'a> {
    /// Begins a run with a token that was entered.
    pub(super) fn new(
        mut token: Token<'a>,
        chosen: Chosen,
        host: &str,
        started: Timestamp,
    ) -> Result<Self, Trouble> {
        Ok(Self {
            mechanisms: token.mechanisms()?,
            run: RunId::new(host, started),
            policy: chosen.policy,
            level: chosen.level,
            chosen: chosen.keys,
            known: chosen.known,
            begun: Instant::now(),
            results: Vec::new(),
            keys: Vec::new(),
            labels: Vec::new(),
            maybe: Vec::new(),
            remains: Vec::new(),
            removed: Vec::new(),
            remembered: Vec::new(),
            warnings: Vec::new(),
            restarts: 0,
            token,
        })
    }

    pub(super) fn warn(&mut self, file: &ModuleFile) {
        let description = self.token.library.description.to_lowercase();
        if file.spies || description.contains("spy") {
            self.warnings.push("the module writes down every call, and the PIN with it".to_owned());
        }
        if !self.token.logged_in {
            self.warnings.push("nobody is logged in: private objects are not seen".to_owned());
        }
        if self.token.info.flags & CKF_USER_PIN_COUNT_LOW != 0 {
            self.warnings.push("somebody has entered a wrong PIN since the last login".to_owned());
        }
    }

    /// All checks of the level, then the removal of what is left.
    pub(super) fn go(&mut self) {
        if self.level >= Level::Drill {
            self.sweep();
        }
        "inventory".clone_into(&mut self.token.check);
        let read = survey(&mut self.token);
        let seen = match read {
            Ok(keys) => {
                self.keys = keys;
                None
            }
            Err(trouble) => {
                self.recover();
                Some(trouble)
            }
        };
        let level = self.level;
        for check in CHECKS.iter().filter(|check| check.level <= level) {
            self.make(check, seen.as_ref());
        }
        self.remember();
        self.leave();
    }

    fn make(&mut self, check: &Check, unseen: Option<&Trouble>) {
        if let Some(why) = self.left_out(check) {
            let ordinal = self.token.ordinal();
            let now = (self.token.access.clock)();
            let outcome = Outcome::new(why.0, why.1);
            return self.note(check, Ok(outcome), (now, ordinal));
        }
        check.id.clone_into(&mut self.token.check);
        match check.run {
            Run::Look(look) => self.look(check, look, unseen),
            Run::Key(exercise) => {
                let chosen = self.chosen_keys();
                if chosen.is_empty() {
                    let (now, at) = ((self.token.access.clock)(), self.token.ordinal());
                    let outcome = Outcome::not_applicable("No existing key was chosen.");
                    return self.note(check, Ok(outcome), (now, at));
                }
                for (index, policy) in chosen {
                    self.exercise(check, exercise, index, &policy);
                }
            }
            Run::Token(drill) => {
                let begun = ((self.token.access.clock)(), self.token.ordinal());
                let result = self.in_session(drill);
                self.note(check, result, begun);
            }
        }
    }

    /// Why a check is not made at all.
    fn left_out(&self, check: &Check) -> Option<(Verdict, String)> {
        if self.policy.skips(check.id) {
            return Some((Verdict::Skipped, "The policy leaves it out.".to_owned()));
        }
        if self.begun.elapsed().as_secs() >= self.policy.limits.run_seconds {
            let why = "The time that the policy allows the run was over.";
            return Some((Verdict::Inconclusive, why.to_owned()));
        }
        if !matches!(check.run, Run::Look(_)) && !self.token.alive() {
            let why = "The module was lost before and could not be started again.";
            return Some((Verdict::Inconclusive, why.to_owned()));
        }
        let offered = |kind: &u64| self.mechanisms.iter().any(|info| info.kind == *kind);
        let lacking = check.needs.iter().find(|kind| !offered(kind))?;
        Some((Verdict::NotSupported, format!("The token has no {}.", names::mechanism(*lacking))))
    }

    fn look(
        &mut self,
        check: &Check,
        look: fn(&Findings<'_>) -> Vec<Outcome>,
        unseen: Option<&Trouble>,
    ) {
        let now = (self.token.access.clock)();
        let begun = (now, self.token.ordinal());
        let day = now.to_string();
        let outcomes = match unseen {
            Some(trouble) => vec![blind(&format!("The keys could not be read: {trouble}."))],
            None => look(&Findings {
                info: &self.token.info,
                mechanisms: &self.mechanisms,
                keys: &self.keys,
                policy: &self.policy,
                chosen: &self.chosen,
                day: day.get(..10).unwrap_or_default(),
            }),
        };
        for outcome in outcomes {
            self.note(check, Ok(outcome), begun);
        }
    }

    /// The existing keys to exercise, by their place, each with its policy.
    fn chosen_keys(&self) -> Vec<(usize, KeyPolicy)> {
        let mut chosen = Vec::new();
        for (index, key) in self.keys.iter().enumerate().filter(|(_, key)| key.protected()) {
            let fits = |uri: &Uri| uri.selects_object(&key.label, &key.id, Some(key.class));
            let policy = self.policy.key.iter().find(|policy| fits(&policy.uri));
            if policy.is_some_and(|policy| policy.exercise) || self.chosen.iter().any(fits) {
                chosen.push((index, policy.cloned().unwrap_or_default()));
            }
        }
        chosen
    }

    fn exercise(
        &mut self,
        check: &Check,
        exercise: fn(&mut Bench<'_, '_>, &Exercise<'_>) -> Result<Outcome, Trouble>,
        index: usize,
        policy: &KeyPolicy,
    ) {
        let keys = std::mem::take(&mut self.keys);
        let known = std::mem::take(&mut self.known);
        if let Some(key) = keys.get(index) {
            let work = Exercise {
                key,
                policy,
                known: known.iter().find(|known| known.uri == key.uri),
                all_known: &known,
                keys: &keys,
            };
            let begun = ((self.token.access.clock)(), self.token.ordinal());
            let result = self.in_session(|bench| exercise(bench, &work));
            let result = result.map(|outcome| outcome.about(&key.uri));
            self.note(check, result, begun);
            if let Some(last) = self.results.last_mut() {
                last.subject.clone_from(&key.uri);
            }
        }
        (self.keys, self.known) = (keys, known);
    }

    /// Does something in a session of its own, and takes back what it made.
    fn in_session(
        &mut self,
        work: impl FnOnce(&mut Bench<'_, '_>) -> Result<Outcome, Trouble>,
    ) -> Result<Outcome, Trouble> {
        let session = self.token.open(self.token.write)?;
        let mut bench = Bench {
            token: &mut self.token,
            session,
            run: &self.run,
            policy: &self.policy,
            mechanisms: &self.mechanisms,
            kept: Vec::new(),
            labels: &mut self.labels,
            maybe: &mut self.maybe,
        };
        let result = work(&mut bench);
        let kept = std::mem::take(&mut bench.kept);
        for object in kept {
            // What cannot be destroyed is found by its label at the end.
            if self.token.destroy(session, object).is_ok() {
                forget(&mut self.maybe, self.token.labels.get(&object));
            }
        }
        // A check may have foreseen that the module dies of it.
        if self.token.alive()
            && let Err(Trouble::Lost(lost)) = self.token.close(session)
        {
            return result.and(Err(Trouble::Lost(lost)));
        }
        result
    }

    /// Turns what came out into a row, and comes back from a lost worker.
    fn note(
        &mut self,
        check: &Check,
        result: Result<Outcome, Trouble>,
        (started, first): (Timestamp, u64),
    ) {
        let outcome = result.unwrap_or_else(|trouble| unsuccessful(&trouble));
        let row = CheckResult {
            id: check.id.to_owned(),
            version: check.version,
            level: check.level,
            title: check.title.to_owned(),
            subject: outcome.subject.unwrap_or_else(|| self.token.uri().to_string()),
            verdict: outcome.verdict,
            required: self.policy.requires(check.id),
            advisory: check.advisory,
            function: outcome.function,
            rv: outcome.rv,
            message: outcome.message,
            evidence: outcome.evidence,
            started,
            ended: (self.token.access.clock)(),
            calls: (first, self.token.ordinal()),
        };
        self.results.push(row);
        if !self.token.alive() {
            self.recover();
        }
    }

    /// Starts the worker again and removes what the lost one left.
    fn recover(&mut self) {
        if self.restarts >= self.policy.limits.restarts {
            return;
        }
        self.restarts += 1;
        "recovery".clone_into(&mut self.token.check);
        match self.token.restart() {
            Ok(()) => {
                self.warnings.push("the module was lost, and started again".to_owned());
                if self.level >= Level::Drill {
                    self.sweep();
                }
                self.find_again();
            }
            Err(error) => self.warnings.push(format!("the module does not start again: {error}")),
        }
    }

    /// Handles of keys are new after a restart.
    fn find_again(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        match survey(&mut self.token) {
            Ok(found) if found.len() == self.keys.len() => self.keys = found,
            Ok(_) => self.warnings.push("after a restart the token has other keys".to_owned()),
            Err(trouble) => self.warnings.push(format!("after a restart: {trouble}")),
        }
    }

    fn sweep(&mut self) {
        "sweep".clone_into(&mut self.token.check);
        match orphan::sweep(&mut self.token, &self.run) {
            Ok((removed, remaining)) => {
                self.removed.extend(removed);
                self.remains.extend(remaining);
            }
            Err(trouble) => {
                self.warnings.push(format!("what earlier runs left was not removed: {trouble}"));
            }
        }
    }

    /// Takes fingerprints and samples of the keys that were exercised.
    fn remember(&mut self) {
        if self.level < Level::Use || !self.token.alive() {
            return;
        }
        "remember".clone_into(&mut self.token.check);
        for (index, _) in self.chosen_keys() {
            let Some(key) = self.keys.get(index).cloned() else { continue };
            let mut made = None;
            let result = self.in_session(|bench| {
                made = remember(bench, &key)?;
                Ok(Outcome::pass(""))
            });
            if result.is_ok() {
                self.remembered.extend(made);
            }
        }
    }

    /// Looks for what is left, and ends the worker.
    fn leave(&mut self) {
        "end".clone_into(&mut self.token.check);
        if !self.token.alive() && !self.labels.is_empty() {
            self.recover();
        }
        let mut left = orphan::left(&mut self.token, &self.labels);
        if left.is_err() && !self.token.alive() {
            self.recover();
            left = orphan::left(&mut self.token, &self.labels);
        }
        // Whoever made objects and cannot look may have left those not seen to be destroyed.
        let maybe = std::mem::take(&mut self.maybe);
        self.remains.extend(left.unwrap_or(maybe));
        self.remains.sort();
        self.remains.dedup();
        if let Err(lost) = self.token.leave() {
            self.warnings.push(format!("the module does not end well: {lost}"));
        }
    }

    pub(super) fn document(self, file: &ModuleFile, started: Timestamp) -> Verification {
        let token = &self.token;
        let mechanism = |info: &MechanismInfo| MechanismFacts {
            name: names::mechanism(info.kind),
            number: info.kind,
            key_least: info.key_least,
            key_most: info.key_most,
            flags: names::mechanism_flags(info.flags),
        };
        let mut document = Verification {
            schema_version: SCHEMA_VERSION,
            run: RunInfo {
                id: self.run.to_string(),
                tool_version: env!("CARGO_PKG_VERSION").to_owned(),
                level: self.level,
                started,
                ended: (token.access.clock)(),
                module: file.path.display().to_string(),
                module_sha256: file.sha256.clone(),
                printed: token.printed(),
                warnings: self.warnings,
            },
            token: TokenFacts {
                uri: token.uri().to_string(),
                slot: token.slot,
                library: token.library.clone(),
                info: token.info.clone(),
                flag_names: names::token_flags(token.info.flags),
                mechanisms: self.mechanisms.iter().map(mechanism).collect(),
            },
            checks: self.results,
            summary: Summary::default(),
            keys: self.keys.iter().map(|key| facts(key, &self.policy)).collect(),
            known: self.remembered,
            remains: self.remains,
            removed: self.removed,
            calls: self.token.calls,
            correlation: None,
        };
        document.summarize();
        document
    }
}

/// What the document says of a key; the policy may know its name elsewhere.
fn facts(key: &Key, policy: &Policy) -> KeyFacts {
    let mut facts = key.facts();
    let fits = |uri: &Uri| uri.selects_object(&key.label, &key.id, Some(key.class));
    let known = policy.key.iter().find(|known| fits(&known.uri));
    if let Some(name) = known.and_then(|known| known.key_id.clone()) {
        facts.key_id = Some(name);
    }
    facts
}

/// Takes one object of a label off those that may be left.
pub(in crate::verify) fn forget(maybe: &mut Vec<String>, label: Option<&String>) {
    if let Some(at) = label.and_then(|label| maybe.iter().position(|other| other == label)) {
        maybe.swap_remove(at);
    }
}

/// What a check that came to no verdict says.
fn unsuccessful(trouble: &Trouble) -> Outcome {
    let verdict = if trouble.unsupported() { Verdict::NotSupported } else { Verdict::Inconclusive };
    let (function, rv) = trouble.place();
    Outcome { function, rv, ..Outcome::new(verdict, format!("{trouble}.")) }
}
