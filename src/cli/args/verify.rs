//! What `keytrail verify` takes.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, ValueEnum};

use crate::secret::SecretRef;
use crate::verify::Uri;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keytrail verify --module /usr/lib/softhsm/libsofthsm2.so --token audit --level inventory
  keytrail verify --module SO --token audit --pin-source file:/run/keytrail/pin --level drill \\
      --policy verify.toml --format json --output verify.json
  keytrail verify payments      # as [verify.payments] of keytrail.toml says")]
pub(in crate::cli) struct Verify {
    /// The section `[verify.NAME]` of the configuration; what is given beside it wins
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: Option<String>,
    /// The module's shared library
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) module: Option<PathBuf>,
    /// The token: its label, or an RFC 7512 URI
    #[arg(long, value_name = "TOKEN")]
    pub(in crate::cli) token: Option<String>,
    /// Where the user's PIN is: `file:/path` or `env:NAME`; never the PIN itself
    #[arg(long, value_name = "REFERENCE", value_parser = SecretRef::from_str)]
    pub(in crate::cli) pin_source: Option<SecretRef>,
    /// Where the security officer's PIN is, for the level operator
    #[arg(long, value_name = "REFERENCE", value_parser = SecretRef::from_str)]
    pub(in crate::cli) so_pin_source: Option<SecretRef>,
    /// How far to go [default: inventory]
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) level: Option<LevelArg>,
    /// What is expected of the token and its keys (TOML)
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) policy: Option<PathBuf>,
    /// An existing key to exercise, as an RFC 7512 URI; may be repeated
    #[arg(long, value_name = "URI", value_parser = Uri::from_str)]
    pub(in crate::cli) key: Vec<Uri>,
    /// An earlier result in JSON: are its keys still the same?
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) previous: Option<PathBuf>,
    /// Keep the result in no store
    #[arg(long)]
    pub(in crate::cli) no_store: bool,
    /// How to print the result [default: as the suffix of --output tells, else human]
    #[arg(long, value_name = "FORMAT")]
    pub(in crate::cli) format: Option<VerifyFormat>,
    /// Write to this file in place of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
}

/// How `verify` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum VerifyFormat {
    /// For people
    Human,
    /// For programs
    Json,
    /// One page to read, to print and to hand over
    Html,
}

/// How far `verify` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LevelArg {
    /// Reads
    Inventory,
    /// Has existing keys work
    Use,
    /// Makes keys of its own, and removes them
    Drill,
    /// May cost the token: wrong PINs, the security officer's part
    Operator,
}
