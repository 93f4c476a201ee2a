//! The report in a browser: whatever stands in a log, nothing runs, nothing is fetched, and the
//! page and its print are not empty.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::demo::DEMO;
use super::harness::{Bench, Run};
use super::peers;

/// What a hostile log holds. Each part tries another way out of where text stands.
pub(crate) const HOSTILE: &str = concat!(
    "\"'><script>document.title='RAN'</script>",
    "<img src=http://canary.keytrail.test/img onerror=document.title='RAN'>",
    "<svg/onload=document.title='RAN'></title></style></textarea></script>",
    "<link rel=stylesheet href=http://canary.keytrail.test/css>",
    "<iframe src=javascript:parent.document.title='RAN'></iframe>",
    "{{7*7}}{% raw %}&#x3c;script&#x3e;\u{202e}\u{0}]]>--><!--",
);

/// Members that stay as they are: without them a record is of no format, or of no time.
const KEPT: &[&str] = &[
    "eventTime",
    "eventSource",
    "eventVersion",
    "eventType",
    "eventName",
    "eventID",
    "@type",
    "serviceName",
    "methodName",
    "logName",
    "timestamp",
    "receiveTimestamp",
    "time",
    "category",
    "operationName",
    "eventTimestamp",
    "eventDataId",
    "resourceId",
    "awsRegion",
    "type",
    "recipientAccountId",
    "keyId",
    "arn",
    "resourceName",
    "id",
    "requestUri",
    "value",
    "Time",
    "TimeGenerated",
    "_ResourceId",
    "OperationName",
    "resource",
    "name",
    "op_code",
    "requestURI",
];

/// A proxy that answers nothing and remembers what it was asked.
struct Canary {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Canary {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut bytes = [0; 2048];
                let count = stream.read(&mut bytes).unwrap_or(0);
                heard.lock().unwrap().push(String::from_utf8_lossy(&bytes[..count]).into_owned());
                drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        Self { address, asked }
    }

    /// What the page asked for; the browser's own questions are not counted.
    fn heard(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|request| request.contains("canary.keytrail.test")).cloned().collect()
    }
}

/// What the browser made of a page.
pub(crate) struct Visit {
    pub(crate) dom: String,
    pub(crate) console: Vec<String>,
    pub(crate) fetched: Vec<String>,
}

/// The browser with a profile of its own, all of its traffic going to the canary.
fn browser(chromium: &Path, folder: &Path, canary: &Canary) -> Command {
    let mut command = Command::new(chromium);
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync"])
        .args(["--disable-component-update", "--disable-extensions", "--hide-scrollbars"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000"])
        .arg(format!("--proxy-server=http://{}", canary.address))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command
}

fn address_of(page: &Path) -> String {
    format!("file://{}", page.display())
}

pub(crate) fn visit(chromium: &Path, folder: &Path, page: &Path) -> Visit {
    let canary = Canary::new();
    let mut command = browser(chromium, folder, &canary);
    let run = Run::of({
        command.args(["--dump-dom", &address_of(page)]);
        command
    });
    assert!(run.stdout.contains("</html>"), "the browser gave no page:\n{}", run.stderr);
    let console = run.stderr.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned);
    Visit { dom: run.stdout, console: console.collect(), fetched: canary.heard() }
}

/// Every text of a record made hostile, but for the members that give it its format.
fn poison(value: &mut Value) {
    match value {
        Value::String(text) => *text = format!("{text}{HOSTILE}"),
        Value::Array(items) => items.iter_mut().for_each(poison),
        Value::Object(members) => {
            for (name, member) in members {
                if !(member.is_string() && KEPT.contains(&name.as_str())) {
                    poison(member);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes the fixtures of every format, poisoned, as files of their own; returns how many.
fn poisoned_logs(bench: &Bench) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/events");
    let mut count = 0;
    for format in fs::read_dir(folder).unwrap() {
        for case in fs::read_dir(format.unwrap().path()).unwrap() {
            let path = case.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let text = match serde_json::from_str::<Value>(&text) {
                Ok(mut record) => {
                    poison(&mut record);
                    record.to_string()
                }
                Err(_) => text.replace("User Name : ", &format!("User Name : {HOSTILE}")),
            };
            let name =
                format!("logs/hsm-fixture01/<img src=x onerror=document.title='RAN'>{count}");
            bench.file(&name, text.replace('\0', ""));
            count += 1;
        }
    }
    count
}

/// A report over hostile logs, with a hostile title, hostile people and a hostile waiver.
fn hostile_report(bench: &Bench) -> PathBuf {
    assert!(poisoned_logs(bench) > 20);
    let (counted, run) = bench.import(&["--declare", "2025-10-01..2026-10-01", "logs"]);
    assert!(counted["events"].as_u64().unwrap() > 15, "{counted}\n{}", run.stderr);
    let title = HOSTILE.replace('\0', "");
    let report = bench.path().join("report.html");
    let run = bench.run(&[
        "report",
        "--period",
        "2025-10-01..2026-10-01",
        "--title",
        &title,
        "--output",
        report.to_str().unwrap(),
    ]);
    assert!(run.code.is_some_and(|code| [0, 1, 4].contains(&code)), "{}", run.stderr);
    report
}

#[test]
fn hostile_records_neither_run_nor_fetch_nor_complain_in_a_browser() {
    let Some(chromium) = peers::chromium() else { return };
    let bench = Bench::new();
    let report = hostile_report(&bench);
    let seen = visit(&chromium, bench.path(), &report);
    assert!(seen.dom.contains("&lt;script&gt;"), "the hostile text does not stand in the report");
    assert!(!seen.dom.contains("<title>RAN"), "a script ran");
    assert!(seen.dom.contains("<title>\"'&gt;&lt;script&gt;"), "the title is not the given one");
    assert_eq!(seen.fetched, Vec::<String>::new(), "the page fetched");
    assert_eq!(seen.console, Vec::<String>::new(), "the console is not silent");
    for tag in ["<script", "<iframe", "<img src=\"http", "<link", "onerror=\"", "onload=\""] {
        assert!(!seen.dom.contains(tag), "the page holds {tag}");
    }
}

#[test]
fn the_browser_test_would_notice_a_page_that_runs_and_fetches() {
    let Some(chromium) = peers::chromium() else { return };
    let bench = Bench::new();
    let bad = format!(
        "<!DOCTYPE html><html><title>x</title><script>console.error(1)</script><body>{HOSTILE}"
    );
    let seen = visit(&chromium, bench.path(), &bench.file("bad.html", bad));
    assert!(seen.dom.contains("<title>RAN"), "{}", seen.dom);
    assert!(!seen.fetched.is_empty() && !seen.console.is_empty(), "{:?}", seen.console);
}

#[test]
fn the_example_report_shows_on_screen_and_prints() {
    let Some(chromium) = peers::chromium() else { return };
    let bench = Bench::new();
    let canary = Canary::new();
    let report = address_of(&DEMO.folder.join("report.html"));
    let picture = |name: &str, page: &str| {
        let path = bench.path().join(name);
        let mut command = browser(&chromium, bench.path(), &canary);
        command.arg("--window-size=1200,1600").arg(format!("--screenshot={}", path.display()));
        let run = Run::of({
            command.arg(page);
            command
        });
        fs::read(&path).unwrap_or_else(|_| panic!("no picture:\n{}", run.stderr))
    };
    let blank = picture("blank.png", "about:blank").len();
    let shown = picture("report.png", &report).len();
    assert!(shown > 5 * blank, "the report's picture has {shown} bytes, a blank one {blank}");
    let pdf = bench.path().join("report.pdf");
    let mut command = browser(&chromium, bench.path(), &canary);
    command.arg("--no-pdf-header-footer").arg(format!("--print-to-pdf={}", pdf.display()));
    let run = Run::of({
        command.arg(&report);
        command
    });
    let printed = fs::read(&pdf).unwrap_or_else(|_| panic!("no PDF:\n{}", run.stderr));
    assert!(printed.starts_with(b"%PDF") && printed.len() > 30_000, "{} bytes", printed.len());
    let seen = visit(&chromium, bench.path(), &DEMO.folder.join("report.html"));
    assert_eq!((seen.console, seen.fetched), (Vec::new(), Vec::new()));
}

#[test]
fn the_report_is_one_file_under_a_strict_policy() {
    let page = fs::read_to_string(DEMO.folder.join("report.html")).unwrap();
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src 'none'"));
    for outside in ["<script", "<link", "<iframe", "<img src=\"http", "@import", "url(http"] {
        assert!(!page.contains(outside), "the report holds {outside}");
    }
}
