//! The commands, one file each.

mod check;
#[cfg(feature = "collect")]
mod collect;
mod config;
mod demo;
mod docs;
mod import;
mod query;
mod report;
mod rules;
mod shell;
#[cfg(feature = "collect")]
mod sources;
mod store;
#[cfg(feature = "verify")]
mod verify;

use std::io::{BufReader, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;
use super::args::{Cli, Command, Judging};
use super::console::{Console, Output};
use super::env;
use super::failure::Failure;
use crate::pipeline::check::Check;
#[cfg(feature = "collect")]
use crate::pipeline::prove::{self, Proven};
use crate::pipeline::worker;
use crate::rule::Limits;
use crate::settings::{Given, Settings};
use crate::store::{Location, Store};

/// Runs the command that was typed.
pub(super) async fn run(cli: &Cli, console: &Console) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Demo(args) => demo::run(args, console).await,
        Command::Import(args) => import::run(args, &settings(cli)?, console).await,
        #[cfg(feature = "collect")]
        Command::Collect(args) => collect::run(args, &settings(cli)?, console).await,
        #[cfg(feature = "collect")]
        Command::Sources(args) => sources::run(args, &settings(cli)?).await,
        #[cfg(feature = "verify")]
        Command::Verify(args) => verify::run(args, &settings(cli)?, console).await,
        Command::Check(args) => check::run(args, &settings(cli)?, console).await,
        Command::Report(args) => report::run(args, &settings(cli)?, console).await,
        Command::Query(args) => query::run(args, &settings(cli)?).await,
        Command::Rules(args) => rules::run(args, &settings(cli)?, console).await,
        Command::Store(args) => store::run(args, &settings(cli)?, console).await,
        Command::Config(_) => config::show(&settings(cli)?),
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man => shell::man(),
        Command::Judge => {
            worker::work(BufReader::new(stdin()), Output::open(None)?).await?;
            Ok(Exit::Clean)
        }
        Command::Docs { folder } => docs::run(folder),
    }
}

fn settings(cli: &Cli) -> Result<Settings, Failure> {
    let given = Given {
        config: cli.global.config.clone().or_else(env::config),
        no_config: cli.global.no_config,
        store_flag: cli.global.store.clone(),
        store_env: env::store(),
        folder: env::folder(),
    };
    Ok(Settings::load(&given)?)
}

/// A flag that Ctrl-C raises: the page being committed is finished first.
fn interrupt() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stopped);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            raised.store(true, Ordering::Relaxed);
        }
    });
    stopped
}

/// Holds the digest files of trails against what was read, and tells what came of it.
#[cfg(feature = "collect")]
async fn prove(store: &mut Store, console: &Console) -> Result<Proven, Failure> {
    let proven = prove::prove(store, jiff::Timestamp::now()).await?;
    for problem in &proven.problems {
        console.warn(&format!("digest: {problem}"));
    }
    if proven.gaps > 0 {
        let gaps = proven.gaps;
        console.warn(&format!("digests show {gaps} stretches that are missing or were changed"));
    }
    Ok(proven)
}

/// What was proven, as JSON.
#[cfg(feature = "collect")]
fn proven_json(proven: &Proven) -> serde_json::Value {
    let Proven { digests, verified, unproven, refuted, covered, gaps, problems } = proven;
    serde_json::json!({
        "digests": digests, "verified": verified, "unproven": unproven, "refuted": refuted,
        "covered": covered, "gaps": gaps, "problems": problems,
    })
}

/// Opens the store that the settings name.
async fn open(settings: &Settings) -> Result<Store, Failure> {
    Ok(Store::open(Location::parse(&settings.store.value)?).await?)
}

/// Opens the store to be judged: at its newest version, or at that of a pin.
async fn open_judged(judging: &Judging, settings: &Settings) -> Result<Store, Failure> {
    let location = Location::parse(&settings.store.value)?;
    Ok(match &judging.at_pin {
        Some(pin) => Store::open_pinned(location, pin).await?,
        None => Store::open(location).await?,
    })
}

/// What to judge, from flags and settings.
fn job(judging: &Judging, settings: &Settings) -> Check {
    let params = settings.params.iter().map(|(name, value)| format!("{name}={value}"));
    let limits = Limits {
        time: std::time::Duration::from_secs(judging.rule_timeout.max(1)),
        ..Limits::default()
    };
    Check {
        as_of: judging.as_of,
        period: judging.period,
        rules: judging.rule.clone(),
        params: params.chain(judging.param.iter().cloned()).collect(),
        rules_folder: judging.rules.clone().or_else(|| settings.rules.clone()),
        people: judging.people.clone().or_else(|| settings.people.clone()),
        approvals: judging.approvals.clone().or_else(|| settings.approvals.clone()),
        waivers: judging.waivers.clone().or_else(|| settings.waivers.clone()),
        scope: settings.scope.clone(),
        limits,
        command: env::command_line(),
        worker: env::program(),
    }
}
