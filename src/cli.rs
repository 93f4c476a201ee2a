//! The command line: what was typed, what is printed, how the program ends.

mod args;
mod commands;
mod console;
mod env;
mod exit;
mod failure;
#[cfg(feature = "collect")]
mod secrets;

pub use exit::Exit;

use clap::Parser as _;

use args::{Cli, Command};
use console::Console;

/// Runs the program with the arguments of the process.
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return console::clap_error(&error),
    };
    let console = Console::new(&cli);
    let outcome = match runtime() {
        Ok(runtime) => {
            let outcome = runtime.block_on(dispatch(&cli, &console));
            // What still runs after an interrupt ends with the process.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(failure::Failure::job(error)),
    };
    match outcome {
        Ok(exit) => exit,
        Err(failure) => console.failure(&failure),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // Each thread that reads files keeps memory of its own, and hundreds of them would be allowed.
    let blocking = std::thread::available_parallelism().map_or(4, |cores| cores.get().max(4));
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .max_blocking_threads(blocking)
        .build()
}

async fn dispatch(cli: &Cli, console: &Console) -> Result<Exit, failure::Failure> {
    let work = commands::run(cli, console);
    // An import finishes its page first; what only reads can stop at once, and maintenance leaves a
    // whole store wherever it ends.
    if matches!(
        cli.command,
        Command::Check(_) | Command::Report(_) | Command::Query(_) | Command::Store(_)
    ) {
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => Ok(console.interrupted()),
        }
    } else {
        work.await
    }
}
