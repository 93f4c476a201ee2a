//! The worker: the process in which a module is loaded, and which may die of it. It answers calls
//! from one pipe on another until the parent is gone; what the module prints goes elsewhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use cryptoki_sys::{CKR_OK, CKR_USER_ALREADY_LOGGED_IN, CKU_CONTEXT_SPECIFIC, CKU_SO, CKU_USER};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use zeroize::Zeroizing;

use super::raw::{self, Module};
use super::wire::{self, Kind, Login, Reply, Request};

/// The argument after which the program is a worker. Nobody types it.
pub const WORKER_ARGUMENT: &str = "__pkcs11-worker";

/// How often it is looked whether the parent is there.
const LOOK: Duration = Duration::from_millis(50);

/// How long a call may go on once the parent is gone.
const GRACE: Duration = Duration::from_secs(5);

/// A PIN that no token has.
const WRONG_PIN: &[u8] = b"keytrail-wrong-1";

/// Runs as worker on the standard input and output of this process, until the parent closes them
/// or has the module finalized.
pub fn worker_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    harden()?;
    let (mut from, mut to) = channel()?;
    let mut worker = Worker::default();
    while let Some((kind, payload)) = wire::read(&mut from)? {
        match kind {
            Kind::UserPin => worker.user = Some(payload),
            Kind::SoPin => worker.so = Some(payload),
            Kind::Json => {
                let request: Request = serde_json::from_slice(&payload)?;
                let reply = worker.answer(&request);
                send(&mut to, &reply)?;
                worker.answered += 1;
                if request == Request::Finalize {
                    let done = Reply { done: Some(worker.answered), ..Reply::default() };
                    return send(&mut to, &done);
                }
            }
        }
    }
    Ok(())
}

fn send(to: &mut File, reply: &Reply) -> io::Result<()> {
    let payload = Zeroizing::new(serde_json::to_vec(reply)?);
    wire::write(to, Kind::Json, &payload)
}

/// No core dump, no reading of this process's memory, no life beyond the parent's and a call.
fn harden() -> io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    follow_parent()
}

/// Ends this process once the parent is gone. A call that is under way may end before: a token of
/// files that is killed while it writes them may lose more than the call. The end of the pipe does
/// that; a module that hangs is killed.
fn follow_parent() -> io::Result<()> {
    let parent = rustix::process::getppid();
    let watch = move || {
        while rustix::process::getppid() == parent {
            thread::sleep(LOOK);
        }
        thread::sleep(GRACE);
        rustix::process::kill_process(rustix::process::getpid(), Signal::KILL)
    };
    thread::Builder::new().name("parent".to_owned()).spawn(watch).map(drop)
}

/// Takes the channel away from the descriptors that a module may use: it reads nothing, and what
/// it prints goes where errors go.
fn channel() -> io::Result<(File, File)> {
    let from = File::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let to = File::from(rustix::stdio::stdout().try_clone_to_owned()?);
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((from, to))
}

#[derive(Default)]
struct Worker {
    module: Option<Module>,
    user: Option<Zeroizing<Vec<u8>>>,
    so: Option<Zeroizing<Vec<u8>>>,
    /// A login was refused: there is no second try.
    refused: bool,
    answered: u64,
}

impl Worker {
    fn answer(&mut self, request: &Request) -> Reply {
        if let Request::Load { module } = request {
            return match Module::load(module) {
                Ok((loaded, reply)) => {
                    self.module = Some(loaded);
                    reply
                }
                Err(error) => raw::fault(error),
            };
        }
        let Some(mut module) = self.module.take() else {
            return raw::fault("no module is loaded");
        };
        let mut reply = match request {
            Request::Login { session, login } => self.login(&mut module, *session, *login),
            Request::InitPin { session } => match &self.user {
                Some(pin) => module.init_pin(*session, pin),
                None => raw::fault("there is no PIN"),
            },
            request => information(&mut module, request)
                .or_else(|| objects(&mut module, request))
                .or_else(|| operations(&mut module, request))
                .unwrap_or_else(|| raw::fault("no such call")),
        };
        reply.made = module.take_made();
        self.module = Some(module);
        reply
    }

    fn login(&mut self, module: &mut Module, session: u64, login: Login) -> Reply {
        if self.refused && login != Login::Wrong {
            return raw::fault("a login was refused already, and there is one attempt only");
        }
        let (user, pin) = match login {
            Login::User => (CKU_USER, self.user.as_deref().map(Vec::as_slice)),
            Login::Context => (CKU_CONTEXT_SPECIFIC, self.user.as_deref().map(Vec::as_slice)),
            Login::So => (CKU_SO, self.so.as_deref().map(Vec::as_slice)),
            Login::Wrong => (CKU_USER, Some(WRONG_PIN)),
        };
        let reply = module.login(session, user, pin);
        let accepted = reply.rv == CKR_OK || reply.rv == CKR_USER_ALREADY_LOGGED_IN;
        if !accepted && login == Login::User {
            self.refused = true;
            self.user = None;
        }
        reply
    }
}

fn information(module: &mut Module, request: &Request) -> Option<Reply> {
    Some(match request {
        Request::Initialize { reserved } => module.initialize(reserved.as_deref()),
        Request::Finalize => module.finalize(),
        Request::Info => module.info(),
        Request::Slots => module.slots(),
        Request::Token { slot } => module.token(*slot),
        Request::Mechanisms { slot } => module.mechanisms(*slot),
        Request::MechanismInfo { slot, kinds } => module.mechanism_info(*slot, kinds),
        Request::OpenSession { slot, write } => module.open_session(*slot, *write),
        Request::CloseSession { session } => module.close_session(*session),
        Request::Logout { session } => module.logout(*session),
        Request::Random { session, bytes } => module.random(*session, *bytes),
        _ => return None,
    })
}

fn objects(module: &mut Module, request: &Request) -> Option<Reply> {
    Some(match request {
        Request::Find { session, template, most } => module.find(*session, template, *most),
        Request::Attributes { session, objects, kinds } => {
            module.attributes(*session, objects, kinds)
        }
        Request::SetAttributes { session, object, template } => {
            module.set(*session, *object, template)
        }
        Request::Create { session, template } => module.create(*session, template),
        Request::Copy { session, object, template } => module.copy(*session, *object, template),
        Request::Destroy { session, object } => module.destroy(*session, *object),
        _ => return None,
    })
}

fn operations(module: &mut Module, request: &Request) -> Option<Reply> {
    Some(match request {
        Request::Generate { session, mechanism, template } => {
            module.generate(*session, mechanism, template)
        }
        Request::GeneratePair { session, mechanism, public, private } => {
            module.generate_pair(*session, mechanism, (public, private))
        }
        Request::Begin { session, operation, mechanism, key } => {
            module.begin(*session, *operation, mechanism, *key)
        }
        Request::Perform { session, operation, data } => {
            module.perform(*session, *operation, &data.0)
        }
        Request::Wrap { session, mechanism, by, key } => {
            module.wrap(*session, mechanism, *by, *key)
        }
        Request::Unwrap { session, mechanism, by, wrapped, template } => {
            module.unwrap(*session, mechanism, *by, (&wrapped.0, template))
        }
        _ => return None,
    })
}
