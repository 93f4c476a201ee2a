//! How the program ends. These numbers are promised: scripts depend on them.

use std::process::{ExitCode, Termination};

/// The exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, nothing found at or above `--fail-on`.
    Clean,
    /// 1: findings at or above `--fail-on`.
    Findings,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: the job could not be done.
    Failed,
    /// 4: done in part; outranks 1.
    Partial,
    /// 130: interrupted; what was committed stays.
    Interrupted,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Partial => 4,
            Self::Interrupted => 130,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
