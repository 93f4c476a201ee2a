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
mod exercised;
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
mod verification;

use std::fmt::Display;
use std::io::Write;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use self::context::Context;
use self::text::Visible;
pub use self::verification::verification_html;
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
        section(
            "exercised",
            "Keys exercised",
            size(&data.exercised),
            exercised::Exercised::new(context),
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
    use super::super::sample::{filled, page, sample};
    use super::*;

    fn written(data: &ReportData) -> String {
        let mut out = Vec::new();
        html(data, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn run_page(text: &str) -> String {
        let mut out = Vec::new();
        verification_html(&page(text), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// What lies between `<` and `>`, with quoted values taken out and checked for their end.
    fn tags(page: &str) -> Vec<String> {
        let mut tags = Vec::new();
        let mut rest = page;
        while let Some((_, after)) = rest.split_once('<') {
            let (tag, after) = after.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes are whole in <{tag}>");
            tags.push(tag.split('"').step_by(2).collect::<Vec<_>>().join("\"\""));
            rest = after;
        }
        tags
    }

    const HOSTILE: &[&str] = &[
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg onload=alert(1)>",
        "</style><style>*{display:none}</style>",
        "</title></pre></details></table></main>",
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)//https://",
        "https://example.com/\" onmouseover=\"alert(1)",
        "https://example.com/' style='x",
        "data:text/html,<script>alert(1)</script>",
        "--><!-- {{ 7 * 7 }} {% raw %} &lt;script&gt;",
        "a\0b\u{202e}txt.exe\u{2066}\u{200b}\u{feff}\r\n\u{1b}[31m",
        "",
        " ",
        "]]>&#0;&#x202e;",
    ];

    #[test]
    fn hostile_text_in_any_field_adds_no_tag_and_no_attribute() {
        let mut plain = tags(&written(&filled("plain")));
        plain.sort();
        plain.dedup();
        for text in HOSTILE {
            for tag in tags(&written(&filled(text))) {
                // A link appears where the text is an https reference; no other tag is new.
                let known = plain.binary_search(&tag).is_ok();
                assert!(known || tag == r#"a href="" rel="""#, "<{tag}> out of {text:?}");
            }
        }
    }

    #[test]
    fn hostile_text_in_any_field_of_a_run_adds_no_tag_and_no_attribute() {
        let mut plain = tags(&run_page("plain"));
        plain.sort();
        plain.dedup();
        for text in HOSTILE {
            for tag in tags(&run_page(text)) {
                assert!(plain.binary_search(&tag).is_ok(), "<{tag}> out of {text:?}");
            }
        }
        let written = run_page("<script>\"'&a\0b\u{202e}c");
        assert!(!written.contains("<script"));
        assert!(written.contains(r"&#60;script&#62;&#34;&#39;&#38;a\u{0000}b\u{202E}c"));
        for forbidden in [" style=", " on", "src=", "<link", "<img"] {
            let found = tags(&written).into_iter().filter(|tag| tag.contains(forbidden)).count();
            assert_eq!(found, 0, "{forbidden}");
        }
        let long = run_page(&"x".repeat(1_000_000));
        assert!(long.len() < 1_000_000, "{} bytes", long.len());
    }

    #[test]
    fn markup_in_a_field_is_escaped() {
        let page = written(&filled("<script>\"'&"));
        assert!(!page.contains("<script"), "no script element, whoever wrote it");
        assert!(page.contains("&#60;script&#62;&#34;&#39;&#38;"));
    }

    #[test]
    fn characters_that_cannot_be_seen_are_written_out() {
        let page = written(&filled("a\0b\u{202e}c\u{200b}"));
        assert!(page.contains(r"a\u{0000}b\u{202E}c\u{200B}"));
        assert!(!page.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')));
    }

    #[test]
    fn only_https_references_become_links() {
        let links = |reference: &str| {
            let mut data = sample();
            data.assessment.rules = vec![data.assessment.rules[0].clone()];
            data.assessment.rules[0].references = vec![reference.to_owned()];
            written(&data).matches(r#" rel="noreferrer noopener""#).count()
        };
        assert_eq!(links("https://example.com/policy"), 1);
        let others =
            ["http://example.com", "javascript:alert(1)", "//example.com", "HTTPS://x", ""];
        for other in others {
            assert_eq!(links(other), 0, "{other}");
        }
    }

    #[test]
    fn nothing_is_loaded_and_nothing_runs() {
        let page = written(&sample());
        for forbidden in
            ["<script", "<link", "<img", "<iframe", "@import", " style=", " on", "src="]
        {
            let inside_tags =
                tags(&page).into_iter().filter(|tag| format!("<{tag}").contains(forbidden));
            assert_eq!(inside_tags.count(), 0, "{forbidden}");
        }
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        assert!(page.contains(&format!("style-src 'sha256-{hash}'")), "the policy knows the style");
        assert!(
            !style.contains("url(")
                || style.matches("url(").count() == style.matches("url(#").count()
        );
    }

    #[test]
    fn a_megabyte_in_every_field_is_cut_and_said_so() {
        let page = written(&filled(&"x".repeat(1_000_000)));
        assert!(page.len() < 1_000_000, "{} bytes", page.len());
        assert!(page.contains("[998800 more characters]"));
    }

    #[test]
    fn every_link_within_the_page_has_its_anchor() {
        let page = written(&sample());
        for part in page.split("href=\"#").skip(1) {
            let anchor = part.split_once('"').unwrap().0;
            assert!(page.contains(&format!("id=\"{anchor}\"")), "#{anchor}");
        }
    }

    #[test]
    fn what_could_not_be_seen_comes_before_what_was_found() {
        let page = written(&sample());
        let order = [
            "id=\"summary\"",
            "id=\"scope\"",
            "id=\"coverage\"",
            "Kinds of log that are missing",
            "What is proven read",
            "id=\"verdicts\"",
            "id=\"rotation\"",
            "id=\"dual-control\"",
            "id=\"exercised\"",
            "id=\"findings\"",
            "id=\"waivers\"",
            "id=\"keys\"",
            "id=\"unread\"",
            "id=\"rules\"",
            "id=\"evidence\"",
            "id=\"run\"",
        ];
        let places: Vec<usize> = order.iter().map(|mark| page.find(mark).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn a_finding_can_be_followed_to_the_raw_record() {
        let page = written(&sample());
        let id = "aws/111122223333|5f0c2b8e-73d1-4f0e-8f4f-2c9a7c1b5d60";
        let anchor = context::event_anchor(id);
        assert!(page.contains(&format!("<a href=\"#{anchor}\">{id}</a>")));
        assert!(page.contains(&format!("<article class=\"record\" id=\"{anchor}\">")));
        assert!(page.contains("&#34;pendingWindowInDays&#34;: 7"));
    }

    #[test]
    fn a_parameter_that_was_changed_is_marked() {
        let page = written(&sample());
        assert!(page.contains("<code>period = 180d</code> <b>changed</b>"));
        assert!(page.contains("<span class=\"param\"><code>grace = 7d</code></span>"));
    }

    #[test]
    fn long_lists_are_cut_and_the_page_says_how_much() {
        let mut data = sample();
        let failed = data.assessment.results[0].clone();
        data.assessment.results = (0..FINDINGS + 7).map(|_| failed.clone()).collect();
        let key = data.keys[0].clone();
        data.keys = (0..KEYS + 3).map(|_| key.clone()).collect();
        let record = data.evidence.values().next().unwrap().clone();
        data.evidence = (0..EVIDENCE + 5).map(|n| (format!("e{n:05}"), record.clone())).collect();
        let page = written(&data);
        assert!(page.contains("7 more findings are not shown here; the JSON report has all."));
        assert!(page.contains("3 more keys are not shown here"));
        assert!(page.contains("5 more cited events are not shown here"));
    }

    #[test]
    fn an_empty_report_is_whole() {
        let mut data = sample();
        data.assessment.coverage.clear();
        data.assessment.rules.clear();
        data.assessment.results.clear();
        data.assessment.waivers.clear();
        data.population.clear();
        data.keys.clear();
        data.rotations.clear();
        data.operations.clear();
        data.exercised.clear();
        data.evidence.clear();
        data.quarantine.clear();
        data.unclassified.clear();
        let page = written(&data);
        assert!(page.contains("Nothing was judged."));
        assert!(page.ends_with("</html>\n") || page.ends_with("</html>"));
    }

    #[test]
    fn the_same_data_gives_the_same_bytes() {
        assert_eq!(written(&sample()), written(&sample()));
    }

    #[test]
    fn a_place_that_refuses_bytes_is_an_error_with_its_cause() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let error = html(&sample(), &mut Full).unwrap_err();
        assert!(
            matches!(error, ReportError::Write(cause) if cause.kind() == std::io::ErrorKind::StorageFull)
        );
    }
}
