use std::time::Duration;

use serde_json::json;

use super::*;
use crate::finding::{Severity, Summary};
use crate::rule::{read_people, read_waivers, rows};

/// A rule whose query is `sql`.
fn rule(id: &str, extra: &str, sql: &str) -> String {
    format!(
        "/*+++\nid = \"{id}\"\ntitle = \"t\"\nseverity = \"high\"\nrationale = \"r\"\n\
         remediation = \"r\"\n{extra}\n+++*/\n{sql}"
    )
}

/// A query of the contract with one row of its own, changed by `columns`.
fn row(columns: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("subject_kind", "'key'"),
        ("subject_id", "'k'"),
        ("provider", "'aws'"),
        ("account", "'1'"),
        ("region", "'r'"),
        ("status", "'pass'"),
        ("reason", "'fine'"),
        ("message", "'Said.'"),
        ("evidence", "[]"),
        ("evidence_count", "0"),
        ("inventory_refs", "[]"),
        ("absences", "[]"),
    ];
    for (name, sql) in columns {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some(column) => column.1 = sql,
            None => all.push((name, sql)),
        }
    }
    let columns: Vec<String> = all
        .iter()
        .filter(|(_, sql)| !sql.is_empty())
        .map(|(name, sql)| format!("{sql} AS {name}"))
        .collect();
    format!("SELECT {}", columns.join(", "))
}

const NEEDS: &str = "needs = { aws = [\"aws.kms\"] }";

fn tables(contents: &[(&str, Value)]) -> Tables {
    let mut tables = Tables::new();
    for (name, contents) in contents {
        let columns = schema::table(name).unwrap();
        let given: Vec<_> = contents
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_object().unwrap().clone())
            .collect();
        tables.insert_batch(name, rows::batch(&columns, &given).unwrap()).unwrap();
    }
    tables
}

fn question() -> Question {
    let time = |text| rows::read_time(text).unwrap();
    let period = Period { from: time("2025-01-01"), to: time("2026-01-01") };
    Question::new(period.to, period)
}

fn coverage(from: &str, to: &str, method: &str) -> Value {
    json!({"ledger": "aws/1", "kind": "aws.kms", "from": from, "to": to, "method": method,
        "status": "covered"})
}

fn year(method: &str) -> Tables {
    tables(&[("coverage", json!([coverage("2025-01-01", "2026-01-01", method)]))])
}

async fn ask(texts: &[(&str, &str)], tables: Tables, question: Question) -> Answer {
    assess(&RuleSet::from_texts(texts).unwrap(), tables, question).await.unwrap()
}

/// The only result of one rule over a year that is covered.
async fn one(extra: &str, sql: &str) -> RuleResult {
    let text = rule("T-1", extra, sql);
    let mut answer = ask(&[("t/t.sql", &text)], year("digest"), question()).await;
    assert_eq!(answer.results.len(), 1, "{sql}");
    answer.results.remove(0)
}

#[tokio::test]
async fn a_row_of_the_contract_becomes_a_result() {
    let columns = [
        ("evidence", "make_array('e1', 'e2')"),
        ("evidence_count", "5"),
        ("inventory_refs", "make_array('i1')"),
        ("age", "INTERVAL '3 days'"),
        ("since", "$period_from"),
        ("count", "CAST(7 AS BIGINT UNSIGNED)"),
        ("share", "0.5"),
        ("names", "make_array('a', NULL)"),
        ("nested", "named_struct('x', 1)"),
        ("nothing", "NULL"),
    ];
    let result = one("", &row(&columns)).await;
    assert_eq!((result.status, result.reason.as_str()), (Status::Pass, "fine"));
    assert_eq!((result.severity, result.grade), (Severity::High, Some(Grade::A)));
    assert_eq!(result.subject.unwrap().account.as_deref(), Some("1"));
    assert_eq!((result.evidence.len(), result.evidence_count), (2, 5));
    let facts = json!(result.facts);
    let wanted = json!({"age": facts["age"], "since": "2025-01-01T00:00:00Z", "count": 7,
        "share": 0.5, "names": ["a", null], "nested": {"x": 1}, "nothing": null});
    assert_eq!(facts, wanted);
    assert!(facts["age"].as_str().unwrap().contains('3'));
}

#[tokio::test]
async fn evidence_is_cut_at_a_hundred_and_still_counted() {
    let sql = format!(
        "WITH e AS (SELECT array_agg(value::text ORDER BY value) AS all_of_it FROM range(0, 250)) \
         {} FROM e",
        row(&[("evidence", "all_of_it"), ("evidence_count", "NULL")])
    );
    let result = one("", &sql).await;
    assert_eq!((result.evidence.len(), result.evidence_count), (100, 250));
    assert_eq!(result.evidence[99], "99");
}

#[tokio::test]
async fn a_query_that_breaks_the_contract_is_an_error_that_says_how() {
    let twice = format!("{} UNION ALL {}", row(&[]), row(&[("status", "'fail'")]));
    let half = "make_array(named_struct('from', $period_from, 'to', arrow_cast(NULL, \
                'Timestamp(Microsecond, Some(\"UTC\"))')))";
    for (sql, says) in [
        (row(&[("status", ""), ("absences", "")]), "lacks status, absences"),
        (row(&[("subject_id", "NULL")]), "no subject_id"),
        (row(&[("subject_id", "7")]), "`subject_id` is Int64"),
        (row(&[("status", "'ok'")]), "is `ok`"),
        (row(&[("status", "'error'")]), "is `error`"),
        (row(&[("status", "NULL")]), "is `null`"),
        (row(&[("evidence", "'e1'")]), "`evidence` is Utf8"),
        (row(&[("evidence", "make_array(1)")]), "`evidence` is"),
        (row(&[("evidence_count", "'1'")]), "`evidence_count` is Utf8"),
        (row(&[("absences", "make_array('x')")]), "`absences` is"),
        (row(&[("absences", "make_array(named_struct('a', 1))")]), "`absences` is"),
        (row(&[("absences", half)]), "lacks an end"),
        (row(&[("attested", "'yes'")]), "`attested` is"),
        (row(&[("needs", "make_array('aws.everything')")]), "names `aws.everything`"),
        (twice, "key `k` twice"),
        ("SELECT".to_owned(), "t/t.sql: "),
        ("SELECT nothing FROM keys".to_owned(), "nothing"),
        ("SELECT now()".to_owned(), "$as_of"),
        ("SELECT 1 / 0".to_owned(), "ivide"),
        (row(&[("reason", "$perod")]), "`$perod` is not known; known here are $as_of"),
    ] {
        let result = one("", &sql).await;
        assert_eq!((result.status, result.grade), (Status::Error, None), "{sql}");
        assert!(result.message.contains(says), "{says}: {}", result.message);
    }
    let named = one("", &row(&[("status", "'ok'")])).await;
    assert_eq!(named.subject.unwrap().id, "k");
}

#[tokio::test]
async fn one_broken_rule_does_not_stop_the_others() {
    let texts = [
        ("t/a.sql", &*rule("A-1", "", &row(&[]))),
        ("t/b.sql", &*rule("B-1", "", "SELECT * FROM broken")),
        ("t/c.sql", &*rule("C-1", "", &format!("{} FROM endless", row(&[])))),
        ("t/d.sql", &*rule("D-1", "", &row(&[("status", "'fail'")]))),
        ("views/broken.sql", "SELECT"),
        (
            "views/endless.sql",
            "SELECT count(*) FROM range(1, 1000000000) a, range(1, 1000000000) b",
        ),
    ];
    let mut asked = question();
    asked.limits.time = Duration::from_millis(500);
    let answer = ask(&texts, Tables::new(), asked).await;
    let statuses: Vec<_> = answer.results.iter().map(|r| (r.rule.as_str(), r.status)).collect();
    let (pass, fail, error) = (Status::Pass, Status::Fail, Status::Error);
    assert_eq!(statuses, [("A-1", pass), ("B-1", error), ("C-1", error), ("D-1", fail)]);
    assert_eq!(answer.results[2].reason, "limit_exceeded");
    assert!(answer.results[2].message.contains("view `endless`"));
    assert_eq!(answer.rules.len(), 4);
    assert_eq!(answer.rules_digest.len(), 64);
}

#[tokio::test]
async fn results_are_in_order_of_rule_and_subject() {
    let rows = format!(
        "{} UNION ALL {}",
        row(&[("subject_id", "'z'")]),
        row(&[("subject_id", "'b'"), ("account", "NULL")])
    );
    let texts = [("t/a.sql", &*rule("Z-1", "", &rows)), ("t/b.sql", &*rule("A-1", "", &rows))];
    let answer = ask(&texts, Tables::new(), question()).await;
    let order: Vec<_> =
        answer.results.iter().map(|r| (r.rule.clone(), r.subject.clone().unwrap().id)).collect();
    let wanted = [("A-1", "b"), ("A-1", "z"), ("Z-1", "b"), ("Z-1", "z")];
    assert_eq!(order, wanted.map(|(rule, id)| (rule.to_owned(), id.to_owned())));
}

#[tokio::test]
async fn the_grade_says_what_a_verdict_rests_on() {
    let absence = "make_array(named_struct('from', $period_from, 'to', $as_of))";
    let (event, item) = ("make_array('e')", "make_array('i')");
    for (columns, grade) in [
        (vec![("evidence", event), ("inventory_refs", item)], Some(Grade::A)),
        (vec![("absences", absence), ("inventory_refs", item)], Some(Grade::A)),
        (vec![("inventory_refs", item)], Some(Grade::B)),
        (vec![("evidence", event)], Some(Grade::C)),
        (vec![("absences", absence)], Some(Grade::C)),
        (vec![("evidence", event), ("attested", "true")], Some(Grade::D)),
        (vec![("attested", "true")], Some(Grade::D)),
        (vec![("evidence", event), ("attested", "NULL")], Some(Grade::C)),
        (vec![], None),
        (vec![("status", "'undetermined'"), ("attested", "true")], None),
        (vec![("status", "'undetermined'"), ("evidence", event)], Some(Grade::C)),
    ] {
        assert_eq!(one(NEEDS, &row(&columns)).await.grade, grade, "{columns:?}");
    }
    let text = rule("T-1", NEEDS, &row(&[("absences", absence), ("evidence", event)]));
    let answer = ask(&[("t/t.sql", &text)], year("declared"), question()).await;
    assert_eq!(answer.results[0].grade, Some(Grade::D));
    let answer = ask(&[("t/t.sql", &text)], Tables::new(), question()).await;
    assert_eq!(answer.results[0].reason, "coverage_gap");
    assert_eq!(answer.results[0].grade, Some(Grade::C));
}

#[tokio::test]
async fn nothing_after_as_of_is_seen() {
    let event = |time: &str| {
        json!({"ledger": "aws/1", "leaf_index": 0, "event_id": time, "time": time,
            "collected_at": time, "provider": "aws", "service": "kms", "format": "f",
            "transport": "t", "source": "s", "action": "key.create", "native_action": "n",
            "category": "c", "outcome": "success", "actor_kind": "human", "mapper_version": 1,
            "raw": "{}", "leaf_hash": "00"})
    };
    let key = |id: &str, captured: Option<&str>| {
        json!({"snapshot_id": "s", "captured_at": captured, "inventory_ref": id, "provider": "aws",
            "key_id": id})
    };
    let approval = |id: &str, time: &str| {
        json!({"approval_id": id, "kind": "ticket", "approver": "a", "approved_at": time,
            "scope": "*", "action": "*"})
    };
    let tables = tables(&[
        ("events", json!([event("2025-12-31"), event("2026-01-01"), event("2026-01-02")])),
        (
            "keys",
            json!([key("a", Some("2025-06-01")), key("b", Some("2026-06-01")), key("c", None)]),
        ),
        ("approvals", json!([approval("1", "2025-06-01"), approval("2", "2026-06-01")])),
        (
            "coverage",
            json!([
                coverage("2025-01-01", "2027-01-01", "digest"),
                coverage("2026-06-01", "2027-01-01", "digest")
            ]),
        ),
    ]);
    let answer = ask(&[("views/all_keys.sql", "SELECT * FROM keys")], tables, question()).await;
    for (sql, count) in [
        ("SELECT * FROM events", 2),
        ("SELECT * FROM events WHERE time > $as_of", 0),
        ("SELECT * FROM keys", 2),
        ("SELECT * FROM all_keys", 2),
        ("SELECT * FROM approvals", 1),
        ("SELECT * FROM coverage WHERE \"to\" = $as_of", 1),
        ("SELECT * FROM coverage", 1),
    ] {
        let batches = answer.views.query(sql).await.unwrap();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, count, "{sql}");
    }
    assert_eq!(answer.coverage.len(), 1);
    assert_eq!(answer.coverage[0].period.to, question().as_of);
}

#[tokio::test]
async fn parameters_are_typed_literals_in_rules_and_views() {
    let params = r#"params = { period = "365d", grace = "90m", count = -3, share = 0.5, on = true,
        word = "it's", names = ["a", "b"], none = [] }"#
        .replace('\n', " ");
    let facts = [
        ("status", "CASE WHEN $as_of - $period = $period_from THEN 'pass' ELSE 'fail' END"),
        ("days", "$period_days + 1"),
        ("seconds", "$grace_seconds"),
        ("back", "$as_of - $period - $grace"),
        ("minus", "$count - $count"),
        ("half", "$share * 2"),
        ("other", "NOT $on"),
        ("text", "$word || '!'"),
        ("has", "array_has($names, 'b')"),
        ("empty", "array_length($none)"),
        ("pick", "'b' = ANY($names)"),
    ];
    let text = rule("T-1", &params, &row(&facts));
    let view = "/*+++ params = { wide = \"10d\" } +++*/ SELECT $as_of - $wide AS start";
    let viewed = rule("T-2", "", &format!("{} FROM v", row(&[("start", "start")])));
    let texts = [("t/t.sql", &*text), ("t/u.sql", &*viewed), ("views/v.sql", view)];
    let answer = ask(&texts, Tables::new(), question()).await;
    let facts = json!(answer.results[0].facts);
    let wanted = json!({"days": 366, "seconds": 5400, "back": "2024-12-31T22:30:00Z", "minus": 0,
        "half": 1.0, "other": false, "text": "it's!", "has": true, "empty": facts["empty"],
        "pick": true});
    assert_eq!(facts, wanted, "{}", answer.results[0].message);
    assert_eq!(answer.results[0].status, Status::Pass);
    assert_eq!(answer.results[1].facts["start"], "2025-12-22T00:00:00Z");
    let mut asked = question();
    asked.overrides = ["T-1.period=30d", "v.wide=1d", "T-1.names=b,c"]
        .iter()
        .map(|text| ParamOverride::parse(text).unwrap())
        .collect();
    let answer = ask(&texts, Tables::new(), asked).await;
    assert_eq!(answer.results[0].status, Status::Fail);
    assert_eq!(answer.results[0].facts["days"], 31);
    assert_eq!(answer.results[1].facts["start"], "2025-12-31T00:00:00Z");
    let period = answer.rules[0].params.iter().find(|param| param.name == "period").unwrap();
    assert_eq!((period.value.as_str(), period.default.as_str()), ("30d", "365d"));
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_an_error() {
    let set = RuleSet::from_texts(&[("t/t.sql", &rule("T-1", "", &row(&[])))]).unwrap();
    let mut asked = question();
    asked.rules = vec!["T-9".to_owned()];
    let error = assess(&set, Tables::new(), asked).await.err().unwrap();
    assert_eq!(error.to_string(), "no rule is called `T-9`; did you mean `T-1`?");
    let mut asked = question();
    asked.overrides = vec![ParamOverride::parse("T-1.period=1d").unwrap()];
    let error = assess(&set, Tables::new(), asked).await.err().unwrap();
    assert!(error.to_string().contains("T-1 has no parameters"), "{error}");
}

#[tokio::test]
async fn a_rule_without_rows_does_not_apply_only_where_somebody_looked() {
    let nothing = format!("{} WHERE false", row(&[]));
    let half = json!([coverage("2025-01-01", "2025-06-01", "digest")]);
    let gap = json!([{"ledger": "aws/1", "kind": "aws.kms", "from": "2025-01-01",
        "to": "2026-01-01", "method": "digest", "status": "gap"}]);
    let other = json!([coverage("2025-01-01", "2026-01-01", "digest"),
        {"ledger": "aws/2", "kind": "aws.kms", "from": "2025-01-01", "to": "2025-02-01",
        "method": "digest", "status": "covered"}]);
    let key = json!([{"snapshot_id": "s", "inventory_ref": "i", "provider": "aws", "key_id": "k"}]);
    let two = "needs = { aws = [\"aws.kms\"], gcp = [\"gcp.kms.admin\"] }";
    let gcp = "needs = { gcp = [\"gcp.kms.admin\"] }";
    let (applies_not, unknown) = (Status::NotApplicable, Status::Undetermined);
    for (extra, tables, status, gaps) in [
        (NEEDS, year("digest"), applies_not, 0),
        (two, year("digest"), applies_not, 0),
        (gcp, year("digest"), unknown, 0),
        (NEEDS, Tables::new(), unknown, 0),
        (NEEDS, tables(&[("coverage", half)]), unknown, 1),
        (NEEDS, tables(&[("coverage", gap)]), unknown, 1),
        (NEEDS, tables(&[("coverage", other)]), unknown, 1),
        (NEEDS, tables(&[("keys", key.clone())]), unknown, 1),
        ("", tables(&[("keys", key)]), applies_not, 0),
        ("", Tables::new(), unknown, 0),
    ] {
        let text = rule("T-1", extra, &nothing);
        let answer = ask(&[("t/t.sql", &text)], tables, question()).await;
        let result = &answer.results[0];
        assert_eq!((result.status, result.gaps.len()), (status, gaps), "{extra} {result:?}");
        assert_eq!((&result.subject, result.grade), (&None, None));
        let reason = if status == unknown { "no_population" } else { "no_subject" };
        assert_eq!(result.reason, reason);
    }
}

#[tokio::test]
async fn a_pass_under_weaker_parameters_is_no_pass_for_the_clause() {
    let extra = "params = { period = \"365d\" }\n[[controls]]\nframework = \"f\"\n\
                 control = \"1\"\nstrength = \"direct\"\nrequires = \"period <= 90d\"\n\
                 [[controls]]\nframework = \"f\"\ncontrol = \"2\"\nstrength = \"partial\"";
    let verdicts = |result: RuleResult| {
        result.controls.into_iter().map(|c| (c.verdict, c.note.is_some())).collect::<Vec<_>>()
    };
    let pass = one(extra, &row(&[])).await;
    assert_eq!(pass.status, Status::Pass);
    assert_eq!(verdicts(pass), [(Status::Undetermined, true), (Status::Pass, false)]);
    let fail = one(extra, &row(&[("status", "'fail'")])).await;
    assert_eq!(verdicts(fail), [(Status::Fail, false), (Status::Fail, false)]);
    let error = one(extra, "SELECT").await;
    assert_eq!(verdicts(error), [(Status::Error, false), (Status::Error, false)]);
}

#[tokio::test]
async fn people_and_waivers_reach_the_assessment() {
    let text = rule(
        "T-1",
        "",
        &format!("{} FROM people", row(&[("subject_id", "person"), ("status", "'fail'")])),
    );
    let mut asked = question();
    asked.people =
        Some(read_people("p", "person,identity,kind\na@x,a,human\nb@x,b,human\n").unwrap());
    let waiver = "[[waiver]]\nid='W'\nrule='T-1'\nsubject='a@*'\nreason='r'\nowner='o'\n\
                  approver='p'\ncreated=2025-06-01\nexpires=2026-05-01";
    asked.waivers = read_waivers("w", waiver).unwrap();
    let answer = ask(&[("t/t.sql", &text)], Tables::new(), asked).await;
    let mut summary = Summary::default();
    answer.results.iter().for_each(|result| summary.count(result));
    assert_eq!((summary.fail, summary.waived), (1, 1));
    assert_eq!(answer.waivers[0].state, "in_force");
}

#[tokio::test]
async fn the_functions_can_be_used_in_sql() {
    let columns = [
        ("a", "json_text('{\"x\":{\"y\":\"z\"}}', 'x.y')"),
        ("b", "json_int('{\"x\":30}', 'x')"),
        ("c", "json_bool('{\"x\":\"true\"}', 'x')"),
        ("d", "glob_match('arn:aws:kms', 'arn:*')"),
        ("e", "case_fold('JO@X.org')"),
        ("f", "json_text(NULL, 'x')"),
    ];
    let facts = json!(one("", &row(&columns)).await.facts);
    let wanted = json!({"a": "z", "b": 30, "c": true, "d": true, "e": "jo@x.org", "f": null});
    assert_eq!(facts, wanted);
}

#[tokio::test]
async fn the_same_question_gives_the_same_answer() {
    let sql = format!(
        "WITH s AS (SELECT 'k' || value::text AS id FROM range(0, 500)) {} FROM s",
        row(&[("subject_id", "id")])
    );
    let text = rule("T-1", "", &sql);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(ask(&[("t/t.sql", &text)], year("digest"), question()).await.results);
    }
    assert_eq!(answers[0].len(), 500);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}
