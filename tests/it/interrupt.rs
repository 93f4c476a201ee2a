//! Ctrl-C during a collection: what is being committed is committed, the rest is left to the next run.

use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;

use super::collect::section;
use super::harness::{Bench, Run};
use super::servers::Server;
use super::whole::{check_whole, journal};

/// An event history, and a bench that reads it.
fn history() -> Option<(Server, Bench)> {
    let server = Server::fixture("lookup", &["--events", "200", "--regions", "eu-central-1"])?;
    let bench = Bench::new();
    let lines = [
        "regions = [\"eu-central-1\"]".to_owned(),
        "calls_per_minute = 60000".to_owned(),
        format!("endpoints = {{ all = \"{}\" }}", server.endpoint()),
    ];
    bench.file("keytrail.toml", section("history", "aws.lookup_events", &lines));
    Some((server, bench))
}

/// Waits until something holds, for as long as the process runs.
fn until(child: &mut Child, holds: impl Fn() -> bool) {
    while !holds() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupt(child: Child) -> Run {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let run = Run::from(child.wait_with_output().unwrap()).exits(130);
    assert!(run.stderr.contains("interrupted; what was committed stays"), "{}", run.stderr);
    run
}

#[test]
fn an_interrupted_collection_keeps_its_pages_and_the_next_run_goes_on() {
    let Some((server, bench)) = history() else { return };
    bench.run(&["--store", "whole", "collect"]).exits(0);
    let events = check_whole(&bench.path().join("whole"));
    let whole = server.asked("LookupEvents");
    server.control(
        &json!({"faults": [{"call": "LookupEvents", "do": "slow", "seconds": 0.2, "times": 0}]}),
    );
    let mut child = bench.command(&["--store", "store", "collect"]).spawn().unwrap();
    until(&mut child, || server.asked("LookupEvents") > whole + whole / 2);
    let run = interrupt(child);
    assert!(run.stdout.contains("before it was interrupted"), "{}", run.stdout);
    let folder = bench.path().join("store");
    let kept = check_whole(&folder);
    assert!(kept < events, "{kept}");
    let cursors = journal(&folder, "SELECT source FROM journal WHERE reason = 'cursor'").len();
    assert!(cursors > 0);
    let polls = journal(&folder, "SELECT details FROM journal WHERE reason = 'poll'");
    assert!(polls[0][0].contains("\"ending\":\"interrupted\""), "{polls:?}");
    server.control(&json!({"reset": true}));
    bench.run(&["--store", "store", "collect"]).exits(0);
    assert_eq!(check_whole(&folder), events);
    // What was read before is not asked for again, but for an hour of each log.
    assert!(server.asked("LookupEvents") < whole, "of {whole}");
}

#[test]
fn an_interrupt_does_not_wait_for_a_source_that_waits() {
    let Some((server, bench)) = history() else { return };
    let slow_down =
        json!({"call": "LookupEvents", "do": "throttle", "times": 0, "retry_after": 30});
    server.control(&json!({"faults": [slow_down]}));
    let mut child = bench.command(&["collect"]).spawn().unwrap();
    until(&mut child, || server.asked("LookupEvents") == 1);
    let run = interrupt(child);
    assert!(run.stdout.contains("interrupted before it was read"), "{}", run.stdout);
    assert_eq!(server.asked("LookupEvents"), 1, "it did not wait until it could ask again");
}
