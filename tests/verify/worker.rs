//! The worker of `verify` as a program of its own, for tests that are built without the engine.

use std::process::ExitCode;

fn main() -> ExitCode {
    keytrail::verify::worker_main()
}
