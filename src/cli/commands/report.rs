//! `keytrail report`.

use std::path::Path;

use jiff::Timestamp;

use super::super::Exit;
use super::super::args::{Report, ReportFormat};
use super::super::console::{Console, Output};
use super::super::failure::Failure;
use super::check::{summary, warn};
use crate::pipeline::check::{check, validate};
use crate::pipeline::report::report_data;
use crate::report::{Format, write};
use crate::settings::Settings;

pub(super) async fn run(
    args: &Report,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let job = super::job(&args.judging, settings);
    let now = Timestamp::now();
    validate(&job, now)?;
    let store = super::open_judged(&args.judging, settings).await?;
    // Pinned first: what the report is made from cannot go while it is made.
    if let Some(name) = &args.pin {
        store.pin(name, now)?;
    }
    let spinner = console.spinner("judging the rules and gathering the report");
    let checked = check(&store, &job, now).await?;
    let title = args.title.as_deref().unwrap_or(&settings.title.value);
    let data = report_data(&checked, title).await?;
    drop(spinner);
    warn(&checked, console);
    let mut out = Output::open(args.output.as_deref())?;
    write(format(args), &data, &mut out)?;
    out.finish()?;
    console.note(&summary(&checked));
    if let Some(path) = &args.output {
        console.note(&format!("report written to {}", path.display()));
    }
    let broken = checked.assessment.summary().error > 0;
    Ok(if broken { Exit::Partial } else { Exit::Clean })
}

/// The format asked for, else the one that the file's suffix tells.
fn format(args: &Report) -> Format {
    let suffix = args.output.as_deref().and_then(Path::extension).and_then(|s| s.to_str());
    match (args.format, suffix) {
        (Some(ReportFormat::Json), _) | (None, Some("json")) => Format::Json,
        (Some(ReportFormat::Csv), _) | (None, Some("csv")) => Format::Csv,
        _ => Format::Html,
    }
}
