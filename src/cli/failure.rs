//! A job that ends in an error: what is shown and with which exit code.

use std::error::Error;

use super::Exit;
use crate::pipeline::check::CheckError;
use crate::pipeline::demo::DemoError;
use crate::pipeline::import::ImportError;
use crate::report::ReportError;
use crate::rule::RuleError;
use crate::settings::SettingsError;
use crate::store::StoreError;

/// An error with its exit code and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Box<dyn Error + Send + Sync>,
    pub(super) hint: Option<String>,
    pub(super) exit: Exit,
}

impl Failure {
    /// A job that could not be done.
    pub(super) fn job(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Failed }
    }

    /// A wrong command or configuration.
    pub(super) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Usage }
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn maybe(self, hint: Option<&'static str>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Whether the reader of our output went away: no failure of ours.
    pub(super) fn is_broken_pipe(&self) -> bool {
        let mut error: Option<&(dyn Error + 'static)> = Some(self.error.as_ref());
        while let Some(cause) = error {
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                return io.kind() == std::io::ErrorKind::BrokenPipe;
            }
            error = cause.source();
        }
        false
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let hint = error.hint();
        Self::usage(error).hint(hint)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = error.hint();
        let usage = matches!(error, StoreError::Location { .. });
        let failure = if usage { Self::usage(error) } else { Self::job(error) };
        failure.maybe(hint)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let hint = error.hint();
        let exit = match error {
            ImportError::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        };
        Self { exit, ..Self::job(error) }.maybe(hint)
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let hint = error.hint();
        let failure = if error.is_usage() { Self::usage(error) } else { Self::job(error) };
        failure.maybe(hint)
    }
}

impl From<RuleError> for Failure {
    fn from(error: RuleError) -> Self {
        Self::usage(error)
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        Self::job(error)
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::job(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::job(error)
    }
}
