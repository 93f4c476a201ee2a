use jiff::Timestamp;

use super::super::cut::Tables;
use super::super::session::{Frame, Session};
use super::*;
use crate::finding::Period;

const RULE: &str = "/*+++\nid = \"A-1\"\ntitle = \"t\"\nseverity = \"low\"\nrationale = \"r\"\n\
                    remediation = \"r\"\nparams = { most = 3 }\n+++*/\n";

fn set(sql: &str) -> RuleSet {
    let view = ("views/v.sql", "SELECT nothing FROM keys");
    RuleSet::from_texts(&[("a/a.sql", &format!("{RULE}{sql}")), view]).unwrap()
}

fn session(set: &RuleSet) -> Session {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let period = Period { from: time("2025-01-01T00:00:00Z"), to: time("2026-01-01T00:00:00Z") };
    let limits = Limits::default();
    let frame = Frame { as_of: period.to, period, overrides: Vec::new(), limits };
    Session::open(set, &Tables::new(), frame).unwrap()
}

/// What a worker says when it is asked for the rule; an error where it could not get ready.
async fn said(sql: &str, trouble: Option<&str>) -> Vec<u8> {
    let set = set(sql);
    let session = session(&set);
    let ready = trouble.map_or(Ok((set, session)), |trouble| Err(trouble.to_owned()));
    // The end of the input ends the work, so that it must come after the answer.
    let (input, mut asking) = io::pipe().unwrap();
    writeln!(asking, "A-1").unwrap();
    let (answer, output) = io::pipe().unwrap();
    let serving = tokio::spawn(serve(ready, BufReader::new(input), output));
    let reader = thread::spawn(move || {
        let mut answer = BufReader::new(answer);
        let mut bytes = Vec::new();
        answer.read_until(b'\n', &mut bytes).unwrap();
        let head: Head = serde_json::from_slice(&bytes).unwrap();
        let mut rows = vec![0; head.bytes];
        answer.read_exact(&mut rows).unwrap();
        drop(asking);
        [bytes, rows].concat()
    });
    let told = tokio::task::spawn_blocking(|| reader.join().unwrap()).await.unwrap();
    serving.await.unwrap().unwrap();
    told
}

/// Workers that are a shell script; `$1` is a file with what it may say.
fn workers(script: &str, said: &[u8]) -> (Workers, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), said).unwrap();
    let path = file.path().display().to_string();
    let arguments = ["-c", script, "worker", path.as_str()].map(str::to_owned).to_vec();
    let hire = Hire { program: PathBuf::from("/bin/sh"), arguments, job: "{}".to_owned() };
    (Workers::new(hire, Limits::default()), file)
}

#[tokio::test]
async fn a_worker_answers_with_rows_or_with_why_there_are_none() {
    let sql = "SELECT $most AS most, 'text' AS word UNION ALL SELECT NULL, 'other' ORDER BY 2";
    let answers = [said(sql, None).await, said("SELECT now()", None).await].concat();
    let (mut workers, _file) = workers("cat \"$1\"; exec sleep 60", &answers);
    let set = set(sql);
    let rule = set.get("A-1").unwrap();
    let rows = workers.query(&set, rule).await.unwrap();
    assert_eq!(rows, session(&set).query_with(sql, &rule.header.params).await.unwrap());
    let process = workers.working.as_ref().unwrap().child.id();
    let refused = workers.query(&set, rule).await.unwrap_err();
    assert_eq!(refused.reason, "query_refused");
    // Whatever it may still compute has ended with it.
    assert!(
        workers.working.is_none() && !std::path::Path::new(&format!("/proc/{process}")).exists()
    );
    assert_eq!(workers.query(&set, rule).await.unwrap(), rows);
}

#[tokio::test]
async fn a_worker_that_cannot_get_ready_says_why() {
    let answer = said("SELECT 1", Some("the store is gone")).await;
    let (mut workers, _file) = workers("cat \"$1\"", &answer);
    let set = set("SELECT 1");
    let error = workers.query(&set, set.get("A-1").unwrap()).await.unwrap_err();
    assert_eq!(error.message, "the store is gone");
}

#[tokio::test]
async fn a_worker_that_ends_before_it_has_read_its_job_still_says_why() {
    let answer = said("SELECT 1", Some("the store is gone")).await;
    let (mut workers, _file) = workers("cat \"$1\"", &answer);
    // More than a pipe holds: the rest cannot be written once the process has ended.
    workers.hire.job = "{}".repeat(1 << 20);
    let set = set("SELECT 1");
    let error = workers.query(&set, set.get("A-1").unwrap()).await.unwrap_err();
    assert_eq!(error.message, "the store is gone");
}

#[tokio::test]
async fn a_view_that_failed_is_not_tried_again() {
    let sql = "SELECT * FROM v";
    let answer = said(sql, None).await;
    let (mut workers, file) = workers("cat \"$1\"; exec sleep 60", &answer);
    let set = set(sql);
    let rule = set.get("A-1").unwrap();
    let first = workers.query(&set, rule).await.unwrap_err();
    assert!(first.message.contains("view `v` (views/v.sql)"), "{first}");
    drop(file);
    assert_eq!(workers.query(&set, rule).await.unwrap_err(), first);
}

#[tokio::test]
async fn a_worker_that_ends_or_says_what_it_must_not_is_an_error_of_the_rule() {
    let set = set("SELECT 1");
    let rule = set.get("A-1").unwrap();
    for (script, said) in [
        ("read job; read rule", ""),
        ("exit 1", ""),
        ("cat \"$1\"", "no JSON\n"),
        ("cat \"$1\"", "{\"bytes\":99999999999999,\"failed\":null}\n"),
        ("cat \"$1\"", "{\"bytes\":9,\"failed\":null}\nshort"),
        ("cat \"$1\"", "{\"bytes\":5,\"failed\":null}\nwrong"),
    ] {
        let (mut workers, _file) = workers(script, said.as_bytes());
        let error = workers.query(&set, rule).await.unwrap_err();
        assert_eq!(error.reason, "query_failed", "{script}: {error}");
        assert!(error.message.contains("the process that judged it ended"), "{script}: {error}");
    }
    let (mut workers, _file) = workers("", b"");
    workers.hire.program = PathBuf::from("/no/such/program");
    assert_eq!(workers.query(&set, rule).await.unwrap_err().reason, "query_failed");
}
