//! What can be typed.

#[cfg(feature = "verify")]
mod verify;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

#[cfg(feature = "verify")]
pub(super) use self::verify::{LevelArg, Verify, VerifyFormat};
use crate::finding::Period;
use crate::pipeline::import::Scope;

const EXIT_CODES: &str = "\
Exit codes:
  0    clean
  1    findings at or above --fail-on
  2    wrong usage or configuration
  3    the job could not be done
  4    done in part: a record was quarantined, a file broke off, a rule was in error,
       or nothing could be judged (outranks 1)
  130  interrupted; what was committed stays";

/// Audit log collector and compliance reporter for keys in HSMs and cloud KMS
#[derive(Debug, Parser)]
#[command(name = "keytrail", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Use the store in this folder [env: `KEYTRAIL_STORE`] [default: ./keytrail-store]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) store: Option<String>,
    /// Read this configuration file [env: `KEYTRAIL_CONFIG`] [default: the nearest keytrail.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long, global = true)]
    pub(super) no_config: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: When,
    /// Show no progress
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
    /// Print errors only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the shipped example: logs, assessment, report
    Demo(Demo),
    /// Import exported log files and recorded inventory
    Import(Import),
    /// Collect events, inventory and proofs from the configured sources
    #[cfg(feature = "collect")]
    Collect(Collect),
    /// Exercise the keys of a PKCS #11 token
    #[cfg(feature = "verify")]
    Verify(Verify),
    /// List the configured sources and how they stand
    #[cfg(feature = "collect")]
    #[command(subcommand)]
    Sources(Sources),
    /// Judge the rules over the store
    Check(Check),
    /// Write a report
    Report(Report),
    /// Query events, inventory and views with SQL
    Query(Query),
    /// List, show, test and start rules
    #[command(subcommand)]
    Rules(Rules),
    /// Show the state of the store and maintain it
    #[command(subcommand)]
    Store(Store),
    /// Show the settings in force
    #[command(subcommand)]
    Config(Config),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Judge rules of the user's own for another process, which tells what and reads the answers
    #[command(hide = true, name = crate::pipeline::worker::COMMAND)]
    Judge,
    /// Write the generated pages of the documentation
    #[command(hide = true)]
    Docs {
        /// Where to put them
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail demo --dir /tmp/keytrail-demo")]
pub(super) struct Demo {
    /// Put the example's files, store and report into this folder
    #[arg(long, value_name = "DIR", default_value = "keytrail-demo")]
    pub(super) dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keytrail import ./AWSLogs
  keytrail import --account 111122223333 --region eu-central-1 \\
      --captured-at 2026-09-30T18:00:00Z ./inventory
  keytrail import --declare 2025-10-01..2026-10-01 ./AWSLogs
  gcloud logging read --format json 'protoPayload.serviceName=\"cloudkms.googleapis.com\"' \\
      | keytrail import -")]
pub(super) struct Import {
    /// Files and folders, plain or gzip; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Account, project or subscription of records that name none
    #[arg(long, value_name = "ID")]
    pub(super) account: Option<String>,
    /// Region of records that name none
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Log group and stream of CloudHSM text logs, such as /aws/cloudhsm/cluster-x/hsm-y
    #[arg(long, value_name = "GROUP/STREAM", value_parser = stream)]
    pub(super) stream: Option<(String, String)>,
    /// Key that inventory without a key's name is about (get-key-policy, get-iam-policy)
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// As of when inventory was captured; without it, it proves existence only
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) captured_at: Option<Timestamp>,
    /// Vouch that the files are complete over this stretch
    #[arg(long, value_name = "FROM..TO", value_parser = period)]
    pub(super) declare: Option<Period>,
    /// Vouch for this log besides those met: LEDGER:KIND or LEDGER:REGION:KIND
    #[arg(long, value_name = "SCOPE", requires = "declare", value_parser = Scope::from_str)]
    pub(super) scope: Vec<Scope>,
    /// How many files are read at once [default: one a core]
    #[arg(long, value_name = "NUMBER")]
    pub(super) threads: Option<NonZeroUsize>,
    /// How many events are committed at once
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub(super) page_events: Option<NonZeroUsize>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(super) format: Plain,
}

#[cfg(feature = "collect")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keytrail collect
  keytrail collect --source prod-trail --since 2026-09-01 --stats")]
pub(super) struct Collect {
    /// Collect from this source alone; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) source: Vec<String>,
    /// From when [default: where each source stood]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<Timestamp>,
    /// Until when, exclusive [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<Timestamp>,
    /// How many sources are read at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    pub(super) parallel: usize,
    /// Say what was asked of the providers
    #[arg(long)]
    pub(super) stats: bool,
    /// Milliseconds before a call is first tried again
    #[arg(long, value_name = "MS", hide = true)]
    pub(super) retry_pause: Option<u64>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(super) format: Plain,
}

#[cfg(feature = "collect")]
#[derive(Debug, Subcommand)]
pub(super) enum Sources {
    /// List the configured sources
    List {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "human")]
        format: Plain,
    },
    /// Show how far each source was read, when, and what is covered
    Status {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "human")]
        format: Plain,
    },
}

/// `human` or `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Plain {
    Human,
    Json,
}

/// What `check` and `report` share.
#[derive(Debug, Args)]
pub(super) struct Judging {
    /// Look at nothing after this time [default: the period's end, or now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) as_of: Option<Timestamp>,
    /// Judge this period, half-open, UTC [default: the 365 days before --as-of]
    #[arg(long, value_name = "FROM..TO", value_parser = period)]
    pub(super) period: Option<Period>,
    /// Run only the rules whose id matches (`*` stands for anything); may be repeated
    #[arg(long = "rule", value_name = "GLOB")]
    pub(super) rule: Vec<String>,
    /// Set a rule's parameter, such as ROT-01.period=90d; may be repeated
    #[arg(long = "param", value_name = "RULE.NAME=VALUE")]
    pub(super) param: Vec<String>,
    /// Add the rules and views of this folder
    #[arg(long, value_name = "DIR")]
    pub(super) rules: Option<PathBuf>,
    /// Waivers (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) waivers: Option<PathBuf>,
    /// Who is behind which identity (CSV)
    #[arg(long, value_name = "FILE")]
    pub(super) people: Option<PathBuf>,
    /// Who approved what (CSV)
    #[arg(long, value_name = "FILE")]
    pub(super) approvals: Option<PathBuf>,
    /// Judge the version of the store that this pin holds
    #[arg(long, value_name = "NAME")]
    pub(super) at_pin: Option<String>,
    /// Seconds that one rule may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(super) rule_timeout: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keytrail check --period 2025-10-01..2026-10-01
  keytrail check --rule 'ROT-*' --param ROT-01.period=90d --format json")]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) judging: Judging,
    /// The least severity of a finding that makes exit code 1 [default: low]
    #[arg(long, value_name = "SEVERITY")]
    pub(super) fail_on: Option<SeverityArg>,
    /// What undetermined results do to the exit code
    #[arg(long, value_name = "WHAT", default_value = "ignore")]
    pub(super) undetermined: Undetermined,
    /// How to print the results
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(super) format: CheckFormat,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// A severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SeverityArg {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// What undetermined results do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Undetermined {
    Ignore,
    Fail,
}

/// Formats of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CheckFormat {
    Human,
    Json,
    Csv,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keytrail report --period 2025-10-01..2026-10-01 --output audit.html
  keytrail report --format json | jq '.summary'")]
pub(super) struct Report {
    #[command(flatten)]
    pub(super) judging: Judging,
    /// How to write it [default: by the suffix of --output, else html]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<ReportFormat>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Title of the report
    #[arg(long, value_name = "TEXT")]
    pub(super) title: Option<String>,
    /// Keep the version that the report is made from readable, under this name
    #[arg(long, value_name = "NAME")]
    pub(super) pin: Option<String>,
}

/// Formats of `report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    Html,
    Json,
    Csv,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  keytrail query \"SELECT time, actor_name, native_action FROM events WHERE category = 'lifecycle'\"")]
pub(super) struct Query {
    /// One read-only query over the documented tables and views
    pub(super) sql: String,
    /// How to print the rows
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: QueryFormat,
    /// Look at nothing after this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) as_of: Option<Timestamp>,
    /// The period that `$period_from` and `$period_to` stand for
    #[arg(long, value_name = "FROM..TO", value_parser = period)]
    pub(super) period: Option<Period>,
}

/// Formats of `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum QueryFormat {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(super) enum Rules {
    /// List the rules
    List {
        /// Add the rules of this folder
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
        /// How to print them
        #[arg(long, value_name = "FORMAT", default_value = "human")]
        format: Plain,
    },
    /// Show one rule: why it exists, what it needs, its query
    Show {
        /// Its id, such as ROT-01
        id: String,
        /// Add the rules of this folder
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
    /// Run the fixtures of rules
    Test {
        /// Add the rules of this folder
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
        /// The folder of fixtures: <ID>/{fires,quiet,undetermined}-<case>.jsonl
        #[arg(long, value_name = "DIR", default_value = "fixtures/rules")]
        fixtures: PathBuf,
    },
    /// Start a rule: its file and three fixtures
    New {
        /// Its id, such as ACME-01
        id: String,
        /// Where to put it
        #[arg(long, value_name = "DIR", default_value = "rules")]
        rules: PathBuf,
        /// Where to put its fixtures
        #[arg(long, value_name = "DIR", default_value = "fixtures/rules")]
        fixtures: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Put small files together, verify tree heads, remove files that no version needs
    Maintain(Maintain),
    /// Show versions, sizes, rows, pins, and whether maintenance is due
    Status {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "human")]
        format: Plain,
    },
    /// Let go of a version that `report --pin` holds
    Unpin {
        /// The pin's name
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keytrail store maintain --dry-run
  keytrail store maintain --keep 30d")]
pub(super) struct Maintain {
    /// Keep files so long after they were replaced: versions of that age stay readable
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration)]
    pub(super) keep: SignedDuration,
    /// Keep files that no version names so long: a writer may be about to commit them
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(super) orphans: SignedDuration,
    /// Compact what was collected today as well
    #[arg(long)]
    pub(super) today: bool,
    /// Say what would be done and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(super) format: Plain,
}

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Print every setting with where it comes from
    Show,
}

/// Reads a time: RFC 3339, or a date, which is its midnight in UTC.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let midnight = |_: Date| format!("{text}T00:00:00Z").parse::<Timestamp>().ok();
    text.parse::<Date>()
        .ok()
        .filter(|_| text.len() == 10)
        .and_then(midnight)
        .ok_or_else(|| "write 2026-10-01 or 2026-10-01T12:00:00Z".to_owned())
}

/// Reads a period: `FROM..TO`.
fn period(text: &str) -> Result<Period, String> {
    let (from, to) =
        text.split_once("..").ok_or("write FROM..TO, such as 2025-10-01..2026-10-01")?;
    let period = Period { from: time(from)?, to: time(to)? };
    if period.from < period.to { Ok(period) } else { Err("FROM must be before TO".to_owned()) }
}

/// Reads a duration: a number and `s`, `m`, `h` or `d`.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let found = units.into_iter().find_map(|(unit, seconds)| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        Some(SignedDuration::from_secs(i64::from(number) * seconds))
    });
    found.ok_or_else(|| "write a number and s, m, h or d, such as 7d".to_owned())
}

fn stream(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('/') {
        Some((group, stream)) if !group.is_empty() && !stream.is_empty() => {
            Ok((group.to_owned(), stream.to_owned()))
        }
        _ => Err("write GROUP/STREAM, such as /aws/cloudhsm/cluster-x/hsm-y".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_date_is_its_midnight_in_utc_and_periods_run_forward() {
        assert_eq!(time("2026-10-01").unwrap(), "2026-10-01T00:00:00Z".parse().unwrap());
        assert!(time("2026-10-01T10:00:00+02:00").is_ok());
        assert!(time("yesterday").is_err());
        assert!(period("2026-01-01..2026-02-01").is_ok());
        assert!(period("2026-02-01..2026-01-01").is_err());
        assert!(period("2026-02-01").is_err());
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(duration("7d"), Ok(SignedDuration::from_hours(168)));
        assert_eq!(duration("0s"), Ok(SignedDuration::ZERO));
        for text in ["", "7", "d", "-1d", "1.5h", "7w", "99999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
