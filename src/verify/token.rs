//! A token under test: calls on it through the worker, each written down, paced and bounded, and the
//! way back to it when a worker is lost.

pub(super) mod calls;
pub(super) mod trouble;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki_sys::{
    CKF_LOGIN_REQUIRED, CKF_PROTECTED_AUTHENTICATION_PATH, CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_LOCKED, CKR_OK, CKR_USER_ALREADY_LOGGED_IN,
};
use jiff::Timestamp;

use self::trouble::Trouble;
use super::names;
use super::pin::Pin;
use super::policy::Limits;
use super::process::{Launch, Lost, Worker};
use super::result::Call;
use super::uri::{TokenName, Uri};
use super::wire::{Kind, Library, Login, Reply, Request, TokenInfo};

/// What it takes to reach a token, again if need be.
pub(super) struct Access<'a> {
    pub(super) launch: Launch,
    pub(super) module: PathBuf,
    pub(super) reserved: Option<String>,
    pub(super) token: Uri,
    pub(super) pin: Option<Pin>,
    pub(super) so_pin: Option<Pin>,
    pub(super) limits: Limits,
    pub(super) clock: &'a dyn Fn() -> Timestamp,
}

/// A token and the worker that holds it.
pub(super) struct Token<'a> {
    pub(super) access: Access<'a>,
    worker: Option<Worker>,
    pub(super) slot: u64,
    pub(super) info: TokenInfo,
    pub(super) library: Library,
    /// The session that keeps the login alive while others come and go.
    pub(super) main: u64,
    /// Whether sessions are for reading and writing.
    pub(super) write: bool,
    pub(super) logged_in: bool,
    pub(super) calls: Vec<Call>,
    ordinal: u64,
    /// For whom calls are made.
    pub(super) check: String,
    /// Labels of keys by handle.
    pub(super) labels: BTreeMap<u64, String>,
    created: Option<Instant>,
    printed: u64,
}

/// Why a token cannot be tested at all.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The module or its process failed.
    #[error("the module cannot be used: {0}")]
    Trouble(#[from] Trouble),
    /// None fits.
    #[error("no token fits {wanted}; there are: {seen}")]
    NoToken {
        /// The URI.
        wanted: String,
        /// The tokens there are.
        seen: String,
    },
    /// Several fit.
    #[error("{count} tokens fit {wanted}; name the serial")]
    Ambiguous {
        /// The URI.
        wanted: String,
        /// How many.
        count: usize,
    },
    /// No PIN was given where one is needed.
    #[error("the token asks for a PIN and none was given")]
    NoPin,
    /// The token counts wrong PINs, and the next one would lock it.
    #[error("the token says that one more wrong PIN locks it; nothing was tried")]
    FinalTry,
    /// The token is locked.
    #[error("the user's PIN is locked")]
    Locked,
    /// The login failed; it is not tried again.
    #[error("the login was refused ({0}); it is not tried again")]
    Login(String),
}

impl<'a> Token<'a> {
    /// Loads the module and finds the token; nobody is logged in yet.
    pub(super) fn find(access: Access<'a>) -> Result<Self, AccessError> {
        let mut token = Self {
            access,
            worker: None,
            slot: 0,
            info: TokenInfo::default(),
            library: Library::default(),
            main: 0,
            write: false,
            logged_in: false,
            calls: Vec::new(),
            ordinal: 0,
            check: "start".to_owned(),
            labels: BTreeMap::new(),
            created: None,
            printed: 0,
        };
        token.load()?;
        Ok(token)
    }

    /// Starts a worker and has it load the module. Modules that look at their files while another
    /// process does may miss their token: that is tried again.
    fn load(&mut self) -> Result<(), AccessError> {
        let mut tries = 0;
        loop {
            match self.load_once() {
                Err(
                    AccessError::NoToken { .. } | AccessError::Trouble(Trouble::Refused { .. }),
                ) if tries < 2 => {
                    tries += 1;
                    drop(self.worker.take());
                    thread::sleep(Duration::from_millis(150 * tries));
                }
                result => return result,
            }
        }
    }

    fn load_once(&mut self) -> Result<(), AccessError> {
        let deadline = Duration::from_secs(self.access.limits.call_seconds.max(1));
        let worker = Worker::start(&self.access.launch, deadline).map_err(Trouble::Lost)?;
        self.worker = Some(worker);
        let module = self.access.module.display().to_string();
        self.ask(&Request::Load { module })?;
        let reserved = self.access.reserved.clone();
        self.ask(&Request::Initialize { reserved })?;
        self.library = self.ask(&Request::Info)?.library.unwrap_or_default();
        let slots = self.ask(&Request::Slots)?.numbers;
        let mut seen = Vec::new();
        let mut fitting = Vec::new();
        for slot in slots {
            // A slot that cannot be read is none of ours.
            let info = match self.ask(&Request::Token { slot }) {
                Ok(reply) => reply.token.unwrap_or_default(),
                Err(Trouble::Refused { rv, .. }) => {
                    seen.push(format!("slot {slot} ({})", names::rv(rv)));
                    continue;
                }
                Err(trouble) => return Err(trouble.into()),
            };
            seen.push(info.label.clone());
            if self.access.token.selects_token(&name(&info, slot)) {
                fitting.push((slot, info));
            }
        }
        let wanted = || self.access.token.to_string();
        match fitting.len() {
            0 => Err(AccessError::NoToken { wanted: wanted(), seen: seen.join(", ") }),
            1 => {
                if let Some((slot, info)) = fitting.pop() {
                    self.slot = slot;
                    self.info = info;
                }
                Ok(())
            }
            count => Err(AccessError::Ambiguous { wanted: wanted(), count }),
        }
    }

    /// Opens the main session and logs in, once.
    pub(super) fn enter(&mut self, write: bool) -> Result<(), AccessError> {
        self.write = write;
        self.main = match self.open(write) {
            Ok(session) => session,
            // Some HSMs know sessions for writing alone.
            Err(Trouble::Refused { .. }) if !write => {
                self.write = true;
                self.open(true)?
            }
            Err(trouble) => return Err(trouble.into()),
        };
        self.login()
    }

    /// One attempt, and none where a wrong PIN would be the last one.
    fn login(&mut self) -> Result<(), AccessError> {
        let flags = self.info.flags;
        let pin = self.access.pin.clone();
        // Some tokens ask for the PIN on a pad of their own.
        if pin.is_none() && flags & CKF_PROTECTED_AUTHENTICATION_PATH == 0 {
            let needed = self.write && flags & CKF_LOGIN_REQUIRED != 0;
            return if needed { Err(AccessError::NoPin) } else { Ok(()) };
        }
        if flags & CKF_USER_PIN_LOCKED != 0 {
            return Err(AccessError::Locked);
        }
        if flags & CKF_USER_PIN_FINAL_TRY != 0 {
            return Err(AccessError::FinalTry);
        }
        let so_pin = self.access.so_pin.clone();
        if let Some(worker) = &mut self.worker {
            if let Some(pin) = &pin {
                worker.pin(Kind::UserPin, pin).map_err(Trouble::Lost)?;
            }
            if let Some(so_pin) = &so_pin {
                worker.pin(Kind::SoPin, so_pin).map_err(Trouble::Lost)?;
            }
        }
        match self.ask(&Request::Login { session: self.main, login: Login::User }) {
            Ok(_) | Err(Trouble::Refused { rv: CKR_USER_ALREADY_LOGGED_IN, .. }) => {
                self.logged_in = true;
                Ok(())
            }
            Err(Trouble::Refused { rv, .. }) => {
                // It would be wrong the next time, too.
                self.access.pin = None;
                Err(AccessError::Login(names::rv(rv)))
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Comes back after a worker was lost. The token must be the same one.
    pub(super) fn restart(&mut self) -> Result<(), AccessError> {
        drop(self.worker.take());
        self.labels.clear();
        let (serial, write) = (self.info.serial.clone(), self.write);
        self.access.token.serial = Some(serial);
        self.load()?;
        let entered = self.enter(write);
        if entered.is_err() {
            // Without its login it would only answer that nobody is logged in.
            drop(self.worker.take());
        }
        entered
    }

    /// Whether the worker is there.
    pub(super) fn alive(&self) -> bool {
        self.worker.is_some()
    }

    /// The number of calls made so far.
    pub(super) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Bytes that the module has printed.
    pub(super) fn printed(&self) -> u64 {
        self.printed + self.worker.as_ref().map_or(0, Worker::printed)
    }

    /// Asks the worker, writes the calls down, and tells success from what is none.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply, Trouble> {
        if request.creates() {
            self.pace();
        }
        let at = (self.access.clock)();
        let Some(worker) = &mut self.worker else {
            return Err(Trouble::Lost(Lost::Start { why: "it was lost before".to_owned() }));
        };
        match worker.ask(request) {
            Ok(reply) => {
                self.write_down(at, request, &reply);
                judge(request, reply)
            }
            Err(lost) => {
                self.printed += worker.printed();
                self.worker = None;
                let function = lost.function().unwrap_or_default().to_owned();
                self.add(at, request, (&function, "no return"));
                Err(Trouble::Lost(lost))
            }
        }
    }

    fn write_down(&mut self, at: Timestamp, request: &Request, reply: &Reply) {
        for made in &reply.made {
            self.add(at, request, (&made.function, &names::rv(made.rv)));
        }
    }

    fn add(&mut self, at: Timestamp, request: &Request, (function, rv): (&str, &str)) {
        let (mechanism, handle) = calls::about(request);
        let call = Call {
            ordinal: self.ordinal,
            at,
            check: self.check.clone(),
            function: function.to_owned(),
            rv: rv.to_owned(),
            times: 1,
            mechanism: mechanism.map(names::mechanism),
            key: handle.and_then(|handle| self.labels.get(&handle).cloned()),
            handle,
        };
        self.ordinal += 1;
        match self.calls.last_mut() {
            Some(last) if alike(last, &call) => last.times += 1,
            _ => self.calls.push(call),
        }
    }

    /// Waits until another key may be made.
    fn pace(&mut self) {
        let rate = self.access.limits.creations_per_second;
        if rate > 0.0 {
            let step = Duration::try_from_secs_f64(1.0 / rate).unwrap_or_default();
            let since = self.created.map(|created| created.elapsed());
            if let Some(rest) = since.and_then(|since| step.checked_sub(since)) {
                thread::sleep(rest);
            }
            self.created = Some(Instant::now());
        }
    }

    /// Has the module finalized; a worker that does not account for its answers is a lost one.
    pub(super) fn leave(&mut self) -> Result<(), Lost> {
        let Some(worker) = self.worker.take() else { return Ok(()) };
        self.printed += worker.printed();
        let at = (self.access.clock)();
        let reply = worker.finish()?;
        self.write_down(at, &Request::Finalize, &reply);
        Ok(())
    }

    /// The token's URI.
    pub(super) fn uri(&self) -> Uri {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Uri {
            token: some(&self.info.label),
            manufacturer: some(&self.info.manufacturer),
            serial: some(&self.info.serial),
            model: some(&self.info.model),
            ..Uri::default()
        }
    }
}

/// Whether two calls in a row are told as one.
fn alike(last: &Call, next: &Call) -> bool {
    next.function != "C_Login"
        && last.function == next.function
        && last.rv == next.rv
        && last.check == next.check
        && last.handle == next.handle
        && last.mechanism == next.mechanism
}

fn judge(request: &Request, reply: Reply) -> Result<Reply, Trouble> {
    let deciding = reply.made.iter().rev().find(|made| made.rv == reply.rv);
    let function = deciding.map_or(request.function(), |made| made.function.as_str()).to_owned();
    match reply.fault {
        Some(what) => Err(Trouble::Broken { function: request.function().to_owned(), what }),
        None if reply.rv == CKR_OK => Ok(reply),
        None => Err(Trouble::Refused { function, rv: reply.rv }),
    }
}

fn name(info: &TokenInfo, slot: u64) -> TokenName<'_> {
    TokenName {
        label: &info.label,
        manufacturer: &info.manufacturer,
        serial: &info.serial,
        model: &info.model,
        slot,
    }
}
