//! The console: the one place that prints. Data goes to standard output, everything else to
//! standard error.

#[cfg(feature = "collect")]
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(feature = "collect")]
use indicatif::MultiProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
#[cfg(feature = "collect")]
use jiff::Timestamp;

use super::args::{Cli, When};
use super::failure::Failure;
use super::{Exit, env};
#[cfg(feature = "collect")]
use crate::pipeline::collect::{Ending, Progress as Sources};
use crate::pipeline::import::Progress;
use crate::store::Step;

/// What may be printed, and how.
pub(super) struct Console {
    color: bool,
    #[cfg(feature = "verify")]
    when: When,
    quiet: bool,
    progress: bool,
}

impl Console {
    /// Decides about colour and progress, and starts the log.
    pub(super) fn new(cli: &Cli) -> Self {
        let terminal = io::stderr().is_terminal();
        let color = colored(cli.global.color, terminal);
        let filter = env::log().unwrap_or_else(|| "off".to_owned());
        let log = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(io::stderr)
            .with_ansi(color);
        // A second start in one process, as in tests, finds the log running.
        drop(log.try_init());
        let progress = terminal && !cli.global.no_progress && !cli.global.quiet;
        Self {
            color,
            #[cfg(feature = "verify")]
            when: cli.global.color,
            quiet: cli.global.quiet,
            progress,
        }
    }

    /// A remark on standard error.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            line(text);
        }
    }

    /// A remark about something wrong, shown also when quiet.
    pub(super) fn warn(&self, text: &str) {
        line(&format!("{} {text}", self.paint("warning:", "33")));
    }

    /// A remark about something that a user named and that could not be done, shown also when
    /// quiet; the rest of the job goes on.
    pub(super) fn error(&self, text: &str) {
        line(&format!("{} {text}", self.paint("error:", "31")));
    }

    /// Text in a colour, where colour is wanted.
    pub(super) fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Text in a colour, where colour is wanted on standard output.
    #[cfg(feature = "verify")]
    pub(super) fn paint_data(&self, text: &str, code: &str) -> String {
        if colored(self.when, io::stdout().is_terminal()) {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Prints an error with its causes and hint, and gives its exit code.
    pub(super) fn failure(&self, failure: &Failure) -> Exit {
        if failure.is_broken_pipe() {
            return Exit::Clean;
        }
        line(&format!("{} {}", self.paint("error:", "31"), failure.error));
        let mut cause: Option<&(dyn Error + 'static)> = failure.error.source();
        while let Some(error) = cause {
            line(&format!("  caused by: {error}"));
            cause = error.source();
        }
        if let Some(hint) = &failure.hint {
            line(&format!("\n{} {hint}", self.paint("hint:", "36")));
        }
        failure.exit
    }

    /// Says that the run was interrupted.
    pub(super) fn interrupted(&self) -> Exit {
        self.warn("interrupted; what was committed stays");
        Exit::Interrupted
    }

    /// A bar that follows an import.
    pub(super) fn import_bar(&self) -> impl FnMut(Progress) + Send + use<> {
        let target =
            if self.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar =
            ProgressBar::with_draw_target(Some(0), target).with_finish(ProgressFinish::AndClear);
        let template = "{bar:24} {binary_bytes}/{binary_total_bytes}  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        move |progress: Progress| {
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes_done);
            let seconds = bar.elapsed().as_secs().max(1);
            bar.set_message(format!(
                "{}/{} files, {} records, {} events/s",
                progress.files_done,
                progress.files,
                progress.records,
                progress.events / seconds
            ));
        }
    }

    /// A line for each source, with pages, events and the time reached.
    #[cfg(feature = "collect")]
    pub(super) fn source_lines(&self) -> impl FnMut(&Sources) + Send + use<> {
        let target =
            if self.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let mut bars = BTreeMap::<String, ProgressBar>::new();
        move |sources: &Sources| {
            let width = sources.keys().map(String::len).max().unwrap_or(0);
            for (name, polled) in sources {
                let bar = bars.entry(name.clone()).or_insert_with(|| {
                    let bar =
                        lines.add(ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear));
                    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                        bar.set_style(style);
                    }
                    bar.enable_steady_tick(Duration::from_millis(200));
                    bar
                });
                let reached =
                    polled.reached.map_or_else(String::new, |t| format!(", at {}", seconds(t)));
                bar.set_message(format!(
                    "{name:width$}  {} pages, {} events{reached}",
                    polled.batches,
                    polled.events + polled.duplicates,
                ));
                if polled.ending != Ending::Running && !bar.is_finished() {
                    bar.finish();
                }
            }
        }
    }

    /// A bar that follows a job in steps, shown when it takes more than a second.
    pub(super) fn step_bar(&self) -> impl FnMut(Step) + Send + use<> {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        let (began, wanted) = (std::time::Instant::now(), self.progress);
        let mut shown = false;
        move |step: Step| {
            if wanted && !shown && began.elapsed() > Duration::from_secs(1) {
                shown = true;
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar.enable_steady_tick(Duration::from_millis(120));
            }
            let share = step.done.saturating_mul(100).checked_div(step.total);
            bar.set_message(match share {
                Some(percent) => format!("{}, {percent} %", step.doing),
                None => format!("{}, {} rows", step.doing, step.done),
            });
        }
    }

    /// A sign that something is being computed.
    pub(super) fn spinner(&self, text: &'static str) -> Spinner {
        let bar = if self.progress { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(120));
        Spinner(bar)
    }
}

/// Whether colour is wanted on an output.
fn colored(when: When, terminal: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !env::no_color(),
    }
}

/// A running sign; it goes when dropped.
pub(super) struct Spinner(ProgressBar);

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Where data goes: standard output, or a file that appears whole or not at all.
pub(super) enum Output {
    Stdout(io::StdoutLock<'static>),
    File { writer: BufWriter<File>, temporary: PathBuf, path: PathBuf },
}

impl Output {
    /// Opens standard output, or a file.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Stdout(io::stdout().lock())) };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(|error| {
            let text = format!("cannot write {}: {error}", path.display());
            Failure::job(text).hint("check that the folder exists and is writable")
        })?;
        Ok(Self::File { writer: BufWriter::new(file), temporary, path: path.to_owned() })
    }

    /// Makes what was written last: a file gets its name only when it is whole and on disk.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(mut out) => Ok(out.flush()?),
            Self::File { writer, temporary, path } => {
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.sync_all()?;
                Ok(std::fs::rename(temporary, path)?)
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File { writer, .. } => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File { writer, .. } => writer.flush(),
        }
    }
}

/// A time for people: to the second.
#[cfg(feature = "collect")]
pub(super) fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Prints data to standard output.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    let mut out = Output::open(None)?;
    out.write_all(text.as_bytes())?;
    out.finish()
}

/// Prints what clap has to say: help and version as data, errors as errors.
pub(super) fn clap_error(error: &clap::Error) -> Exit {
    // Nobody is left to hear of an output that is gone.
    drop(error.print());
    if error.use_stderr() { Exit::Usage } else { Exit::Clean }
}

fn line(text: &str) {
    // Nobody is left to hear of an output that is gone.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
