use std::time::Instant;

use jiff::Timestamp;

use super::*;
use crate::finding::Period;
use crate::rule::cut::Tables;
use crate::rule::error::RuleError;
use crate::rule::param::Params;
use crate::rule::session::{Frame, Session};
use crate::rule::set::RuleSet;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn session(limits: Limits) -> Session {
    let period = Period { from: time("2025-01-01T00:00:00Z"), to: time("2026-01-01T00:00:00Z") };
    let set = RuleSet::from_texts(&[
        ("views/twice.sql", "SELECT key_id, key_id AS again FROM keys"),
        ("views/thrice.sql", "SELECT again FROM twice UNION ALL SELECT $as_of::text"),
        ("views/broken.sql", "SELECT nothing FROM keys"),
    ]);
    let frame = Frame { as_of: period.to, period, overrides: Vec::new(), limits };
    Session::open(&set.unwrap(), &Tables::new(), frame).unwrap()
}

fn open() -> Session {
    session(Limits { time: Duration::from_secs(20), ..Limits::default() })
}

async fn refusal(session: &Session, sql: &str) -> QueryError {
    session.query_with(sql, &Params::new()).await.expect_err(sql)
}

#[tokio::test]
async fn only_one_query_is_run() {
    let session = open();
    for sql in [
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "COPY (SELECT 1) TO '/tmp/keytrail-test.csv'",
        "COPY keys TO '/tmp/keytrail-test.parquet'",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "INSERT INTO keys SELECT * FROM keys",
        "UPDATE keys SET key_id = 'x'",
        "DELETE FROM keys",
        "DROP TABLE keys",
        "SHOW TABLES",
        "SHOW ALL",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "DESCRIBE keys",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE keys",
        "",
        ";",
    ] {
        assert_eq!(refusal(&session, sql).await.reason, "query_refused", "{sql}");
    }
    // Refused by the parser or the planner, under whichever name.
    for sql in [
        "SELECT 1 INTO x",
        "WITH x AS (INSERT INTO keys SELECT * FROM keys RETURNING 1) SELECT * FROM x",
        "SELECT * FROM keys FOR UPDATE",
        "SELECT",
    ] {
        refusal(&session, sql).await;
    }
}

#[tokio::test]
async fn only_known_tables_are_read() {
    let session = open();
    for sql in [
        "SELECT * FROM 'file.parquet'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM \"s3://bucket/key.csv\"",
        "SELECT * FROM journal",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM datafusion.information_schema.tables",
        "SELECT * FROM other.keys",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "SELECT * FROM parquet_metadata('x.parquet')",
        "SELECT * FROM TABLE(read_csv('/etc/passwd'))",
        "SELECT (SELECT count(*) FROM journal)",
        "SELECT 1 WHERE EXISTS (SELECT * FROM '/etc/passwd')",
    ] {
        let error = refusal(&session, sql).await;
        assert_eq!(error.reason, "query_refused", "{sql}: {error}");
    }
    for sql in [
        "SELECT * FROM keys",
        "SELECT * FROM KEYS k JOIN twice t ON k.key_id = t.key_id",
        "WITH journal AS (SELECT 1) SELECT * FROM journal",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT * FROM range(1, 3)",
        "SELECT * FROM thrice",
    ] {
        session.query_with(sql, &Params::new()).await.expect(sql);
    }
}

#[tokio::test]
async fn clock_and_chance_are_refused() {
    let session = open();
    for sql in [
        "SELECT now()",
        "SELECT NOW()",
        "SELECT \"now\"()",
        "SELECT current_date",
        "SELECT current_timestamp",
        "SELECT current_time()",
        "SELECT today()",
        "SELECT random()",
        "SELECT uuid()",
        "SELECT * FROM keys WHERE created_at < now()",
        "SELECT * FROM keys ORDER BY random()",
        "SELECT 1 WHERE EXISTS (SELECT random())",
        "SELECT count(*) FILTER (WHERE random() > 0.5) FROM keys",
        "WITH x AS (SELECT now() AS n) SELECT * FROM x",
        "SELECT version()",
        "SELECT repeat('x', 1000000000)",
        "SELECT range(0, 10000000000)",
        "SELECT unnest(generate_series(0, 10000000000))",
    ] {
        let error = refusal(&session, sql).await;
        assert_eq!(error.reason, "query_refused", "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_function_that_is_not_immutable_is_refused_under_any_name() {
    let context = SessionContext::new();
    let plan = |sql: &'static str| {
        let context = context.clone();
        async move { context.state().create_logical_plan(sql).await.unwrap() }
    };
    for sql in ["SELECT now()", "SELECT 1 WHERE 0 < (SELECT max(random()) FROM (SELECT 1) x)"] {
        assert_eq!(check_plan(&plan(sql).await).unwrap_err().reason, "query_refused", "{sql}");
    }
    check_plan(&plan("SELECT abs(-1), upper('x'), to_timestamp('2025-01-01')").await).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_end_is_stopped() {
    let limits = Limits { memory: 64 << 20, time: Duration::from_millis(700), rows: 1000 };
    for sql in [
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r WHERE n < 0",
        "SELECT count(*) FROM range(1, 1000000000) a CROSS JOIN range(1, 1000000000) b",
        "SELECT max(a.value * b.value) FROM range(1, 100000) a, range(1, 100000) b, \
         range(1, 100000) c",
        "SELECT count(*) FROM range(1, 100000) a JOIN range(1, 100000) b ON a.value < b.value \
         JOIN range(1, 100000) c ON b.value > c.value",
        "SELECT count(*) FROM range(1, 9000) a, range(1, 9000) b, range(1, 9000) c, \
         range(1, 9000) d WHERE a.value < b.value OR c.value > d.value",
        "SELECT count(*) FROM range(1, 900000) a JOIN range(1, 900000) b \
         ON a.value % 2 = b.value % 2 WHERE a.value * b.value < 0",
        "SELECT sum(value) FROM range(1, 9000000000000000000)",
        "SELECT value FROM range(1, 9000000000000000000) ORDER BY value DESC LIMIT 1",
        "SELECT DISTINCT value FROM range(1, 9000000000000000000)",
        "SELECT array_agg(value) FROM range(1, 9000000000000000000)",
        "SELECT string_agg(value::text, ',') FROM range(1, 9000000000000000000)",
        "SELECT * FROM range(1, 1000000)",
        "WITH RECURSIVE r(s) AS (SELECT 'xxxxxxxx' UNION ALL SELECT s || s FROM r) SELECT s FROM r",
    ] {
        let session = session(limits);
        let started = Instant::now();
        let error = refusal(&session, sql).await;
        assert_eq!(error.reason, "limit_exceeded", "{sql}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{sql}: {:?}", started.elapsed());
        // What was stopped no longer holds a thread: a small query is answered at once.
        let small = open();
        let started = Instant::now();
        small.query("SELECT count(*) FROM range(1, 1000)").await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "{sql} still runs");
    }
}

#[tokio::test]
async fn a_query_nested_deep_or_long_is_answered_or_refused_and_never_a_crash() {
    let session = open();
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(refusal(&session, &deep).await.reason, "limit_exceeded");
    let nested = format!("SELECT {}1{}", "(".repeat(3000), ")".repeat(3000));
    assert_eq!(refusal(&session, &nested).await.reason, "query_failed");
    let long = format!("SELECT 1{}", " + 1".repeat(20_000));
    assert_eq!(refusal(&session, &long).await.reason, "limit_exceeded");
    // Deep enough to overflow the stack of an ordinary thread several times over.
    let chain = format!("SELECT key_id{} FROM keys", " IS NULL".repeat(3900));
    session.query_with(&chain, &Params::new()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_placeholder_is_named_with_the_known_ones() {
    let session = open();
    let error = refusal(&session, "SELECT $perod").await;
    assert!(error.message.contains("$as_of, $period_from, $period_to"), "{error}");
    refusal(&session, "SELECT $1").await;
    refusal(&session, "SELECT ?").await;
}

#[tokio::test]
async fn a_broken_view_fails_the_queries_that_name_it() {
    let session = open();
    for _ in 0..2 {
        let error = refusal(&session, "SELECT * FROM broken").await;
        assert!(error.message.contains("view `broken` (views/broken.sql)"), "{error}");
    }
    session.query("SELECT * FROM twice").await.unwrap();
}

#[tokio::test]
async fn the_views_that_a_session_holds_count_as_its_memory() {
    let limits = Limits { memory: 48 << 20, ..Limits::default() };
    let period = Period { from: time("2025-01-01T00:00:00Z"), to: time("2026-01-01T00:00:00Z") };
    let million = "SELECT value FROM range(0, 4000000)";
    let set = RuleSet::from_texts(&[("views/a.sql", million), ("views/b.sql", million)]);
    let frame = Frame { as_of: period.to, period, overrides: Vec::new(), limits };
    let session = Session::open(&set.unwrap(), &Tables::new(), frame).unwrap();
    session.query("SELECT count(*) FROM a").await.unwrap();
    assert_eq!(refusal(&session, "SELECT count(*) FROM b").await.reason, "limit_exceeded");
    session.query("SELECT sum(value) FROM a").await.unwrap();
}

#[tokio::test]
async fn an_answer_without_rows_still_has_its_columns() {
    let batches = open().query("SELECT key_id, state FROM keys").await.unwrap();
    assert_eq!((batches.len(), batches[0].num_columns(), batches[0].num_rows()), (1, 2, 0));
    assert!(matches!(open().query("SELECT x").await, Err(RuleError::Query(_))));
}

#[tokio::test]
async fn what_doubles_with_every_few_words_is_refused_before_it_runs() {
    let session = open();
    let with = |parts: usize, body: &str| {
        let parts: Vec<String> = (1..=parts)
            .map(|n| format!("a{n} AS ({})", body.replace('@', &format!("a{}", n - 1))))
            .collect();
        format!("WITH a0 AS (SELECT key_id AS s FROM keys), {}", parts.join(", "))
    };
    let copies: Vec<String> = (0..20).map(|n| format!("s AS c{n}")).collect();
    let copies = copies.join(", ");
    let list = format!("make_array({})", vec!["1"; 500].join(","));
    for sql in [
        with(10, "SELECT s || s AS s FROM @") + " SELECT s FROM a10",
        with(10, "SELECT concat(s, s) AS s FROM @") + " SELECT s FROM a10",
        with(10, "SELECT make_array(s, s) AS s FROM @") + " SELECT 1 FROM a10",
        with(10, "SELECT named_struct('a', s, 'b', s) AS s FROM @") + " SELECT 1 FROM a10",
        with(10, "SELECT CASE WHEN true THEN s || s END AS s FROM @") + " SELECT s FROM a10",
        with(12, "SELECT x.s FROM @ x JOIN @ y ON x.s = y.s") + " SELECT s FROM a12",
        with(5, "SELECT replace(s, 'x', s || s) AS s FROM @") + " SELECT s FROM a5",
        with(10, "SELECT (SELECT max(s || s) FROM @) AS s FROM @") + " SELECT s FROM a10",
        format!("SELECT {} FROM keys", vec!["key_id"; 600].join(" || ")),
        format!("SELECT {} FROM (SELECT '{}' AS s FROM keys) t", copies, "x".repeat(20_000)),
        format!("SELECT unnest(a), b FROM (SELECT {list} AS a, {list} AS b) t"),
    ] {
        let error = refusal(&session, &sql).await;
        assert_eq!(error.reason, "limit_exceeded", "{sql}: {error}");
    }
    // As much as a rule may need.
    for sql in [
        format!("SELECT concat({}) FROM keys", vec!["key_id, 'text'"; 40].join(", ")),
        format!("SELECT key_id FROM keys WHERE {}", vec!["key_id = 'x'"; 900].join(" OR ")),
        format!("SELECT key_id IN ({}) FROM keys", vec!["'x'"; 3000].join(", ")),
        format!(
            "SELECT make_array({})",
            vec!["'arn:aws:iam::111122223333:role/x'"; 300].join(", ")
        ),
        with(5, "SELECT s || 'x' AS s FROM @")
            + " SELECT a.s || b.s FROM a5 a JOIN a5 b ON a.s = b.s",
    ] {
        session.query_with(&sql, &Params::new()).await.expect(&sql);
    }
}
