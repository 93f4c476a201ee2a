//! The `keytrail` binary; see `keytrail::cli`.

use std::process::{ExitCode, Termination as _};

fn main() -> ExitCode {
    // A worker of `verify` is this program again; nothing else may run in its process.
    #[cfg(feature = "verify")]
    if std::env::args_os().nth(1).is_some_and(|word| word == keytrail::verify::WORKER_ARGUMENT) {
        return keytrail::verify::worker_main();
    }
    keytrail::cli::run().report()
}
