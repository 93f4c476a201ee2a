//! The report as one HTML file that needs nothing else: no script, no request, style and drawings
//! inside; made to be read on a screen and on paper.
//!
//! Three things keep hostile text harmless. The template engine escapes every value for text and
//! quoted attributes. The content security policy allows nothing but the style sheet, by its hash.
//! And all text leaves through [`Visible`], which writes control characters and those that turn
//! the direction of text as visible escapes. Links out are made only of `https://` references.
//!
//! Length is bounded: each list and each field has a cap, and where one cuts, the report says how
//! much and that the JSON form has all.

mod appendix;
mod context;
mod coverage;
mod filters;
mod findings;
mod mark;
mod operations;
mod registers;
mod rotation;
mod scope;
mod summary;
mod text;
mod verdicts;

use std::fmt::Display;
use std::io::Write;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use self::context::Context;
use self::text::Visible;
use super::{ReportData, ReportError};

const STYLE: &str = include_str!("../../templates/report.css");

/// Most findings shown in full.
const FINDINGS: usize = 500;
/// Most cited events shown with their records.
const EVIDENCE: usize = 1000;
/// Most keys shown, in the population and under rotation.
const KEYS: usize = 2000;
/// Most rows of any other list.
const ROWS: usize = 1000;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    policy: String,
    style: &'static str,
    summary: summary::Summary<'a>,
    sections: Vec<Section<'a>>,
}

/// One numbered section of the page.
struct Section<'a> {
    /// Its anchor.
    id: &'static str,
    title: &'static str,
    /// How much is in it, for the table of contents.
    size: Option<u64>,
    body: Box<dyn Display + 'a>,
}

/// Writes the report.
///
/// # Errors
/// When `out` cannot be written.
pub fn html(data: &ReportData, out: &mut dyn Write) -> Result<(), ReportError> {
    let context = Context::new(data);
    let page = Page {
        title: &data.title,
        policy: policy(),
        style: STYLE,
        summary: summary::Summary::new(&context),
        sections: sections(&context),
    };
    let mut buffered = std::io::BufWriter::new(out);
    let mut visible = Visible::new(&mut buffered);
    let laid_out = page.render_into(&mut visible);
    visible.finish()?;
    laid_out.map_err(ReportError::Layout)?;
    Ok(buffered.flush()?)
}

/// The content security policy: nothing may load or run, and one style sheet applies, known by its
/// hash.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn sections<'a>(context: &'a Context<'a>) -> Vec<Section<'a>> {
    let data = context.data;
    let findings = findings::Findings::new(context);
    vec![
        section("scope", "Scope and period", None, scope::Scope::new(context)),
        section("coverage", "Coverage", None, coverage::Coverage::new(context)),
        section("verdicts", "Verdicts", None, verdicts::Verdicts::new(context)),
        section("rotation", "Rotation", size(&data.rotations), rotation::Rotation::new(context)),
        section(
            "dual-control",
            "Dual control",
            size(&data.operations),
            operations::Operations::new(context),
        ),
        section("findings", "Findings", Some(findings.count), findings),
        section(
            "waivers",
            "Waivers",
            size(&data.assessment.waivers),
            registers::Waivers::new(context),
        ),
        section("keys", "Population of keys", size(&data.keys), registers::Keys::new(context)),
        section("unread", "Not read, not classified", None, registers::Unread::new(context)),
        section(
            "rules",
            "Appendix A: rules",
            size(&data.assessment.rules),
            appendix::Rules::new(context),
        ),
        section(
            "evidence",
            "Appendix B: evidence",
            u64::try_from(data.evidence.len()).ok(),
            appendix::Evidence::new(context),
        ),
        section("run", "Appendix C: this run", None, appendix::Run::new(context)),
    ]
}

fn section<'a>(
    id: &'static str,
    title: &'static str,
    size: Option<u64>,
    body: impl Display + 'a,
) -> Section<'a> {
    Section { id, title, size, body: Box::new(body) }
}

fn size<T>(list: &[T]) -> Option<u64> {
    u64::try_from(list.len()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{filled, sample};
    use super::*;

    fn written(data: &ReportData) -> String {
        let mut out = Vec::new();
        html(data, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    #[ignore = "writes the sample for looking at"]
    fn write_sample() {
        std::fs::write("/tmp/report-sample.html", written(&sample())).unwrap();
    }
}
