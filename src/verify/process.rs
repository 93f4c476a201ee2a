//! The parent's side of the worker: starts it, asks, waits no longer than agreed, and says how it
//! ended. Whatever a module does, a call here returns.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

use super::pin::Pin;
use super::wire::{self, Kind, Reply, Request};
use super::worker::WORKER_ARGUMENT;

/// How long a worker that closed its pipe may take to be gone.
const GRACE: Duration = Duration::from_secs(2);

/// How a worker is started.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The program, which is this one.
    pub program: PathBuf,
    /// All of its environment: see [`environment`](super::environment).
    pub environment: BTreeMap<String, String>,
}

/// How a worker was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It could not be started.
    #[error("the worker cannot be started: {why}")]
    Start {
        /// Why.
        why: String,
    },
    /// Its process ended within a call.
    #[error("the module ended its process ({how}) in {function}")]
    Ended {
        /// The call under way.
        function: String,
        /// `signal 11`, `exit status 0`, …
        how: String,
    },
    /// It did not answer in time, and was killed.
    #[error("the module did not return from {function} within {seconds} s, and was stopped")]
    TimedOut {
        /// The call under way.
        function: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What came through the pipe was no answer.
    #[error("the channel of the worker was disturbed in {function}")]
    Noise {
        /// The call under way.
        function: String,
    },
}

impl Lost {
    /// The call that was under way.
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::Start { .. } => None,
            Self::Ended { function, .. }
            | Self::TimedOut { function, .. }
            | Self::Noise { function } => Some(function),
        }
    }
}

/// What the reader of the pipe says.
enum Heard {
    Reply(Box<Reply>),
    End,
    Noise,
}

/// A running worker. Dropping it kills its process group.
pub(super) struct Worker {
    child: Child,
    group: Option<Pid>,
    /// Closed once it is lost.
    to: Option<ChildStdin>,
    heard: Receiver<Heard>,
    deadline: Duration,
    printed: Arc<AtomicU64>,
    answered: u64,
}

impl Worker {
    /// Starts the program as a worker in a process group of its own.
    pub(super) fn start(launch: &Launch, deadline: Duration) -> Result<Self, Lost> {
        let failed = |why: &str| Lost::Start { why: why.to_owned() };
        let mut child = Command::new(&launch.program)
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .envs(&launch.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error.to_string()))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let printed = Arc::new(AtomicU64::new(0));
        let pipes = (child.stdout.take(), child.stderr.take());
        let (Some(answers), Some(errors)) = pipes else { return Err(failed("it has no pipes")) };
        let to = child.stdin.take();
        let counter = Arc::clone(&printed);
        thread::spawn(move || count(errors, &counter));
        let (sender, heard) = sync_channel(4);
        thread::spawn(move || {
            let mut answers = answers;
            while sender.send(hear(&mut answers)).is_ok() {}
        });
        Ok(Self { child, group, to, heard, deadline, printed, answered: 0 })
    }

    /// Hands a PIN over.
    pub(super) fn pin(&mut self, kind: Kind, pin: &Pin) -> Result<(), Lost> {
        self.write(kind, pin.reveal(), "start")
    }

    /// Asks, and waits for the answer until the deadline.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply, Lost> {
        let function = request.function();
        let noise = |_| Lost::Noise { function: function.to_owned() };
        let payload = Zeroizing::new(serde_json::to_vec(request).map_err(noise)?);
        self.write(Kind::Json, &payload, function)?;
        let reply = self.hear(function)?;
        self.answered += 1;
        Ok(reply)
    }

    /// Has the module finalized and the worker end, which must account for every answer.
    pub(super) fn finish(mut self) -> Result<Reply, Lost> {
        let reply = self.ask(&Request::Finalize)?;
        let last = self.hear("C_Finalize")?;
        if last.done == Some(self.answered) {
            Ok(reply)
        } else {
            Err(Lost::Noise { function: "C_Finalize".to_owned() })
        }
    }

    /// How many bytes the module has printed.
    pub(super) fn printed(&self) -> u64 {
        self.printed.load(Ordering::Relaxed)
    }

    fn write(&mut self, kind: Kind, payload: &[u8], function: &str) -> Result<(), Lost> {
        let written = self.to.as_mut().map(|to| wire::write(to, kind, payload));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(self.ended(function)),
        }
    }

    fn hear(&mut self, function: &str) -> Result<Reply, Lost> {
        let function = function.to_owned();
        match self.heard.recv_timeout(self.deadline) {
            Ok(Heard::Reply(reply)) => Ok(*reply),
            Ok(Heard::Noise) => {
                self.kill();
                Err(Lost::Noise { function })
            }
            Ok(Heard::End) | Err(RecvTimeoutError::Disconnected) => Err(self.ended(&function)),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(Lost::TimedOut { function, seconds: self.deadline.as_secs() })
            }
        }
    }

    /// Says how the process ended; one that only closed its pipe is ended.
    fn ended(&mut self, function: &str) -> Lost {
        self.to = None;
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while waited < GRACE {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.kill();
                return Lost::Ended { function: function.to_owned(), how: how(status) };
            }
            thread::sleep(step);
            waited += step;
        }
        self.kill();
        Lost::Ended { function: function.to_owned(), how: "its pipe closed".to_owned() }
    }

    /// Kills what the module may have started, too.
    fn kill(&mut self) {
        self.to = None;
        if let Some(group) = self.group.take() {
            // Gone already is as good.
            kill_process_group(group, Signal::KILL).unwrap_or(());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => "unknown".to_owned(),
    }
}

fn hear(answers: &mut impl Read) -> Heard {
    match wire::read(answers) {
        Ok(Some((Kind::Json, payload))) => serde_json::from_slice(&payload)
            .map_or(Heard::Noise, |reply| Heard::Reply(Box::new(reply))),
        Ok(None) => Heard::End,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Heard::End,
        Ok(Some(_)) | Err(_) => Heard::Noise,
    }
}

/// Counts what a module prints. It is not kept: it may be a PIN.
fn count(mut from: impl Read, counter: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
    }
}
