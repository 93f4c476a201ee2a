//! `keytrail completions` and `keytrail man`, made from the definitions of the command line.

use clap::CommandFactory as _;

use super::super::Exit;
use super::super::args::Cli;
use super::super::console::data;
use super::super::failure::Failure;

/// Prints the completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keytrail", &mut bytes);
    data(&String::from_utf8_lossy(&bytes))?;
    Ok(Exit::Clean)
}

/// Prints the manual page: the program, then each command.
pub(super) fn man() -> Result<Exit, Failure> {
    let mut bytes = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut bytes)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        clap_mangen::Man::new(inner.clone()).render(&mut bytes)?;
    }
    data(&String::from_utf8_lossy(&bytes))?;
    Ok(Exit::Clean)
}
