//! `keytrail demo`.

use std::path::Path;

use super::super::Exit;
use super::super::args::Demo;
use super::super::console::{Console, Output, data};
use super::super::failure::Failure;
use super::check::visible;
use crate::finding::{Assessment, RuleResult, Status};
use crate::pipeline::check::{Checked, check};
use crate::pipeline::demo::{fill, question, unpack};
use crate::pipeline::import::Imported;
use crate::pipeline::report::report_data;
use crate::report::{Format, write};
use crate::store::{Location, Store};

/// The title of the example's report.
const TITLE: &str = "Example Bank: key management audit";

pub(super) async fn run(args: &Demo, console: &Console) -> Result<Exit, Failure> {
    let began = std::time::Instant::now();
    let (files, store) = (args.dir.join("files"), args.dir.join("store"));
    if store.exists() {
        let text = format!("{} holds an example already", args.dir.display());
        return Err(Failure::usage(text).hint("remove it, or choose another folder with --dir"));
    }
    let spinner = console.spinner("importing fifteen months of logs");
    unpack(&files)?;
    let mut opened = Store::create(Location::parse(&store.display().to_string())?).await?;
    let imported = fill(&mut opened, &files).await?;
    drop(spinner);
    let spinner = console.spinner("judging the rules and writing the report");
    let mut job = question(&files);
    job.command = command(&args.dir);
    let checked = check(&opened, &job, jiff::Timestamp::now()).await?;
    let report = args.dir.join("report.html");
    let mut out = Output::open(Some(&report))?;
    write(Format::Html, &report_data(&checked, TITLE).await?, &mut out)?;
    out.finish()?;
    drop(spinner);
    data(&told(&imported, &checked, &report, console))?;
    console.note(&format!("{:.1} s", began.elapsed().as_secs_f64()));
    Ok(Exit::Clean)
}

/// The command that makes the example's report again.
fn command(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "keytrail --store {dir}/store report --period 2025-10-01..2026-10-01 \
         --people {dir}/files/people.csv --approvals {dir}/files/approvals.csv \
         --waivers {dir}/files/waivers.toml --output {dir}/report.html"
    )
}

fn told(imported: &Imported, checked: &Checked, report: &Path, console: &Console) -> String {
    let assessment = &checked.assessment;
    let mut text = format!(
        "Imported {} files: {} records, {} events about keys, {} known already, {} about other \
         things, {} in quarantine, {} inventory rows.\n\n",
        imported.files,
        imported.records,
        imported.events,
        imported.duplicates,
        imported.irrelevant,
        imported.quarantined,
        imported.inventory
    );
    text += &format!("{}\n\n", super::check::summary(checked));
    text += &format!("{}\n", console.paint("The gravest findings:", "1"));
    for result in gravest(assessment) {
        let subject = result.subject.as_ref().map_or("-", |subject| subject.id.as_str());
        text += &format!("  {:8} {}  {}\n", result.severity, result.rule, visible(&result.message));
        text += &format!("           {}\n", visible(subject));
    }
    text += &format!("\nOpen {} in a browser.\n", report.display());
    let store = checked.assessment.run.command.split(' ').nth(2).unwrap_or("STORE").to_owned();
    text += &format!("Ask more: keytrail --store {store} query \"SELECT * FROM key_state\"\n");
    text
}

fn gravest(assessment: &Assessment) -> Vec<&RuleResult> {
    let failed = |result: &&RuleResult| result.status == Status::Fail && result.waived.is_none();
    let mut results: Vec<&RuleResult> = assessment.results.iter().filter(failed).collect();
    results.sort_by_key(|result| std::cmp::Reverse(result.severity));
    results.truncate(8);
    results
}
