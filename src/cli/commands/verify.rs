//! `keytrail verify`.

mod words;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::super::args::{LevelArg, Verify as Args, VerifyFormat};
use super::super::console::{Console, Output};
use super::super::failure::Failure;
use super::super::{Exit, env};
use crate::pipeline::verify::{About, ExerciseError, exercise, page_of};
use crate::report::verification_html;
use crate::secret::SecretRef;
use crate::settings::{Settings, TokenConfig, read_policy};
use crate::store::{Location, Store, StoreError};
use crate::verify::{
    Job, Launch, Level, Pin, Policy, Uri, Verification, VerifyError, environment, result,
};

pub(super) async fn run(
    args: &Args,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let section = section(args, settings)?;
    let about = about(section);
    let section = section.map(|(_, token)| token);
    let given = args.policy.as_deref().or(section.and_then(|token| token.policy.as_deref()));
    let policy = given.map(read_policy).transpose()?.unwrap_or_default();
    let job = job(args, section, policy)?;
    let mut store = store(args, settings, console).await?;
    let spinner = console.spinner("exercising the token");
    let done = exercise(job, &about, store.as_mut()).await;
    drop(spinner);
    let (done, _) = done.map_err(failed)?;
    for warning in &done.run.warnings {
        console.warn(warning);
    }
    for left in &done.remains {
        console.warn(&format!("may be left on the token: {left}; the next run removes it"));
    }
    let mut out = Output::open(args.output.as_deref())?;
    match format(args) {
        VerifyFormat::Json => {
            let text = serde_json::to_string_pretty(&done).map_err(Failure::job)? + "\n";
            out.write_all(text.as_bytes())?;
        }
        VerifyFormat::Html => verification_html(&page_of(&done), &mut out)?,
        VerifyFormat::Human => {
            let paint = |text: &str, code: &str| match &args.output {
                None => console.paint_data(text, code),
                Some(_) => text.to_owned(),
            };
            out.write_all(words::human(&done, &paint).as_bytes())?;
        }
    }
    out.finish()?;
    Ok(exit(&done))
}

/// The format asked for, else the one that the file's suffix tells.
fn format(args: &Args) -> VerifyFormat {
    let suffix = args.output.as_deref().and_then(Path::extension).and_then(|s| s.to_str());
    match (args.format, suffix) {
        (Some(format), _) => format,
        (None, Some("html")) => VerifyFormat::Html,
        (None, Some("json")) => VerifyFormat::Json,
        (None, _) => VerifyFormat::Human,
    }
}

fn exit(done: &Verification) -> Exit {
    match done.exit_code() {
        0 => Exit::Clean,
        1 => Exit::Findings,
        _ => Exit::Partial,
    }
}

/// A section's name and content.
type Section<'a> = (&'a String, &'a TokenConfig);

/// The section that is asked for; the only one where nothing is said.
fn section<'a>(args: &Args, settings: &'a Settings) -> Result<Option<Section<'a>>, Failure> {
    let known: Vec<&str> = settings.tokens.keys().map(String::as_str).collect();
    let there = format!("there are: {}", known.join(", "));
    match (&args.name, args.module.is_some()) {
        (Some(name), _) => match settings.tokens.get_key_value(name) {
            Some(found) => Ok(Some(found)),
            None if known.is_empty() => {
                let hint =
                    "write a section [verify.NAME] into keytrail.toml; docs/verify.md shows one";
                Err(Failure::usage(format!("no token is configured as {name:?}")).hint(hint))
            }
            None => Err(Failure::usage(format!("no token is configured as {name:?}")).hint(there)),
        },
        (None, true) => Ok(None),
        (None, false) => match settings.tokens.iter().next() {
            Some(only) if known.len() == 1 => Ok(Some(only)),
            Some(_) => Err(Failure::usage("say which token to exercise").hint(there)),
            None => {
                Err(Failure::usage("neither --module nor a token of the configuration is given")
                    .hint("give --module and --token, or write [verify.NAME] into keytrail.toml"))
            }
        },
    }
}

fn about(section: Option<Section<'_>>) -> About {
    let Some((name, section)) = section else {
        return About { production: true, ..About::default() };
    };
    About {
        name: Some(name.clone()),
        production: section.production,
        account: section.account.clone(),
        region: section.region.clone(),
        log: section.log.clone(),
    }
}

/// The store that keeps the result: the one that is named, or the default one where it exists.
async fn store(
    args: &Args,
    settings: &Settings,
    console: &Console,
) -> Result<Option<Store>, Failure> {
    if args.no_store {
        return Ok(None);
    }
    let location = Location::parse(&settings.store.value)?;
    if settings.store.origin == "default" {
        match Store::open(location.clone()).await {
            Err(StoreError::Missing { .. }) => {
                let place = &settings.store.value;
                console.warn(&format!(
                    "the result is not kept: there is no store at {place}; --store names one"
                ));
                return Ok(None);
            }
            opened => drop(opened?),
        }
    }
    Ok(Some(Store::create(location).await?))
}

fn job(
    args: &Args,
    section: Option<&TokenConfig>,
    policy: Policy,
) -> Result<Job<'static>, Failure> {
    let unknown = || Failure::job("the program's own file is not known");
    let program = env::program().ok_or_else(unknown)?;
    let missing = |what: &str| Failure::usage(format!("{what} is not given"));
    let module = args.module.as_ref().or(section.map(|token| &token.module));
    let module = module.ok_or_else(|| missing("--module"))?;
    let label = args.token.as_ref().or(section.map(|token| &token.token));
    let label = label.ok_or_else(|| missing("--token"))?;
    let own = section.and_then(|token| token.pin_source.as_ref());
    let officer = section.and_then(|token| token.so_pin_source.as_ref());
    let more = policy.module.environment.clone();
    let mut keys = section.map(|token| token.keys.clone()).unwrap_or_default();
    keys.extend(args.key.iter().cloned());
    Ok(Job {
        launch: Launch { program, environment: environment(env::all(), &more) },
        module: fs::canonicalize(module).map_err(|error| {
            Failure::usage(format!("cannot find the module {}: {error}", module.display()))
                .hint("docs/verify.md names the library of each vendor")
        })?,
        token: token(label)?,
        pin: args.pin_source.as_ref().or(own).map(pin).transpose()?,
        so_pin: args.so_pin_source.as_ref().or(officer).map(pin).transpose()?,
        level: level(args.level)
            .or(section.and_then(|token| token.level))
            .unwrap_or(Level::Inventory),
        policy,
        keys,
        known: args.previous.as_deref().map(known).transpose()?.unwrap_or_default(),
        host: env::host(),
        locks: env::lock_folder(),
        clock: &Timestamp::now,
    })
}

fn level(asked: Option<LevelArg>) -> Option<Level> {
    asked.map(|level| match level {
        LevelArg::Inventory => Level::Inventory,
        LevelArg::Use => Level::Use,
        LevelArg::Drill => Level::Drill,
        LevelArg::Operator => Level::Operator,
    })
}

/// The token: a PKCS #11 URI, or its label.
fn token(text: &str) -> Result<Uri, Failure> {
    let hint = "give the token's label, or an RFC 7512 URI such as pkcs11:serial=0123456789abcdef";
    let label = |text: &str| {
        text.bytes().fold("pkcs11:token=".to_owned(), |uri, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                uri + &char::from(byte).to_string()
            } else {
                uri + &format!("%{byte:02X}")
            }
        })
    };
    let uri = if text.starts_with("pkcs11:") { text.to_owned() } else { label(text) };
    uri.parse().map_err(|error| Failure::usage(error).hint(hint))
}

fn pin(source: &SecretRef) -> Result<Pin, Failure> {
    let hint = "the PIN comes from a file that nobody else may read (chmod 600), or a variable";
    match source {
        SecretRef::File(path) => {
            Pin::from_file(Path::new(path)).map_err(|error| Failure::usage(error).hint(hint))
        }
        SecretRef::Env(name) => match env::named(name) {
            Some(value) => Ok(Pin::new(value.into_bytes())),
            None => Err(Failure::usage(format!("{name} is not set")).hint(hint)),
        },
    }
}

/// What an earlier result keeps of keys.
fn known(path: &Path) -> Result<Vec<result::Known>, Failure> {
    #[derive(Deserialize)]
    struct Earlier {
        known: Vec<result::Known>,
    }
    let hint = "give the JSON that an earlier run wrote";
    let text = fs::read(path)?;
    let earlier: Earlier =
        serde_json::from_slice(&text).map_err(|error| Failure::usage(error).hint(hint))?;
    Ok(earlier.known)
}

fn failed(error: ExerciseError) -> Failure {
    match error {
        ExerciseError::Store(error) => error.into(),
        ExerciseError::Verify(error) => {
            let usage = matches!(error, VerifyError::Policy(_) | VerifyError::NotExpendable);
            let failure = if usage { Failure::usage(error) } else { Failure::job(error) };
            failure.hint("docs/verify.md tells for each token what it needs")
        }
    }
}
