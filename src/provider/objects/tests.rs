use super::kit::{Run, Shelf, run, run_some};
use super::*;
use crate::provider::source::{History, Source as _, SourceError};

/// One place, `logs`.
struct One(Role, Days);

#[async_trait]
impl Layout for One {
    fn provider(&self) -> Provider {
        Provider::Aws
    }

    async fn places(&self, _: &Bucket) -> Result<Found, SourceError> {
        let place = Place {
            prefix: "logs".to_owned(),
            role: self.0,
            days: self.1,
            context: Context::default(),
        };
        Ok(Found { places: vec![place], notes: Vec::new() })
    }

    fn is_file(&self, _: Role, name: &str) -> bool {
        name.strip_suffix(".json").is_some()
    }

    fn caveat(&self, _: &Bucket) -> Note {
        Note { message: "covers nothing".to_owned(), hint: None }
    }
}

const NOW: (Option<&str>, &str) = (None, "2020-01-20T12:00:00Z");

fn key(day: u8, name: &str) -> String {
    format!("logs/2020/01/{day:02}/{name}.json")
}

fn names(run: &Run) -> Vec<String> {
    let name = |address: &str| address.rsplit_once("/01/").unwrap().1.replace(".json", "");
    run.addresses().into_iter().map(name).collect()
}

#[tokio::test]
async fn a_file_with_a_smaller_name_that_comes_later_is_read_and_none_twice() {
    let shelf = Shelf::new();
    shelf.put(&key(20, "T1825Z_b"), "1").await;
    shelf.put(&key(20, "T1820Z_x"), "2").await;
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    let first = run(&mut source, &mut history, NOW).await;
    assert_eq!(names(&first), ["20/T1820Z_x", "20/T1825Z_b"]);
    assert_eq!(first.notes(), "covers nothing");
    for late in ["T1820Z_1kg87", "T1820Z_99Mb", "T1820Z_cJ0P"] {
        shelf.put(&key(20, late), "3").await;
    }
    shelf.put(&key(18, "T0000Z_days_late"), "4").await;
    let second = run(&mut source, &mut history, NOW).await;
    let expected = ["18/T0000Z_days_late", "20/T1820Z_1kg87", "20/T1820Z_99Mb", "20/T1820Z_cJ0P"];
    assert_eq!(names(&second), expected);
    assert_eq!(second.notes(), "");
    assert!(run(&mut source, &mut history, NOW).await.batches.is_empty());
}

#[tokio::test]
async fn ten_thousand_objects_come_in_bounded_batches_and_a_kill_loses_none() {
    let shelf = Shelf::new();
    for at in 0..10_050 {
        shelf.put(&key(19, &format!("{at:05}")), "x").await;
    }
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    let first = run_some(&mut source, &mut history, NOW, 5).await;
    assert!(first.batches.iter().all(|batch| batch.items.len() <= 256));
    // A new process knows what was committed, and no more.
    let mut source = shelf.source("s3://b", One(Role::Log, Days::Plain));
    let second = run(&mut source, &mut history, NOW).await;
    let mut all = [names(&first), names(&second)].concat();
    all.sort();
    assert_eq!(all.len(), 10_050);
    all.dedup();
    assert_eq!(all.len(), 10_050);
}

#[tokio::test]
async fn each_batch_lists_exactly_its_objects_with_hash_and_tag() {
    let shelf = Shelf::new();
    shelf.put(&key(20, "a"), "abc").await;
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    run(&mut source, &mut history, NOW).await;
    let object = &history.cursors[0]["objects"][0];
    assert_eq!(object["key"], key(20, "a"));
    assert_eq!(object["size"], 3);
    assert_eq!(
        object["sha256"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert!(object["etag"].as_str().is_some_and(|tag| !tag.is_empty() && !tag.contains('"')));
}

#[tokio::test]
async fn an_object_that_changes_is_read_again() {
    let shelf = Shelf::new();
    shelf.put(&key(20, "a"), "one").await;
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    run(&mut source, &mut history, NOW).await;
    shelf.put(&key(20, "a"), "two").await;
    assert_eq!(run(&mut source, &mut history, NOW).await.objects()[0].1, b"two");
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_owed_however_long_it_takes() {
    let shelf = Shelf::new();
    shelf.put(&key(2, "bad"), "1").await;
    shelf.put(&key(2, "good"), "2").await;
    shelf.put(&key(19, "new"), "3").await;
    shelf.denied.lock().unwrap().insert(key(2, "bad"));
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    let first = run(&mut source, &mut history, NOW).await;
    assert_eq!(names(&first), ["02/good", "19/new"]);
    assert!(first.notes().contains("02/bad.json: "), "{}", first.notes());
    assert!(first.notes().contains("tried again"), "{}", first.notes());
    let again = run(&mut source, &mut history, NOW).await;
    assert!(again.notes().contains("02/bad.json: ") && again.error.is_none(), "{again:?}");
    shelf.denied.lock().unwrap().clear();
    assert_eq!(names(&run(&mut source, &mut history, NOW).await), ["02/bad"]);
    assert!(run(&mut source, &mut history, NOW).await.batches.is_empty());
}

#[tokio::test]
async fn what_is_owed_and_how_far_reading_came_outlive_the_objects_in_the_history() {
    for summed_up in [false, true] {
        outlived(summed_up).await;
    }
}

/// Reads on after the objects left the history, which is summed up or not.
async fn outlived(summed_up: bool) {
    let shelf = Shelf::new();
    shelf.put(&key(2, "bad"), "1").await;
    shelf.put(&key(2, "good"), "2").await;
    shelf.denied.lock().unwrap().insert(key(2, "bad"));
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    run(&mut source, &mut history, NOW).await;
    if summed_up {
        history.cursors = source.sum_up(&history);
        assert_eq!(history.cursors.len(), 1, "{history:?}");
    }
    for cursor in &mut history.cursors {
        if cursor.get("objects").is_some() {
            *cursor = serde_json::Value::Null;
        }
    }
    shelf.denied.lock().unwrap().clear();
    shelf.put("logs/2020/02/01/later.json", "3").await;
    // More days later than a first reading goes back.
    let late = run(&mut source, &mut history, (None, "2020-08-01T00:00:00Z")).await;
    let keys: Vec<_> = late.addresses().iter().map(|key| key.rsplit('/').next().unwrap()).collect();
    assert_eq!(keys, ["bad.json", "good.json", "later.json"]);
    assert_eq!(history.cursors.last().unwrap()["owed"], serde_json::json!([]));
}

#[tokio::test]
async fn an_object_deleted_before_it_was_read_is_told_as_lost_once() {
    let shelf = Shelf::new();
    shelf.put(&key(20, "a"), "1").await;
    shelf.gone.lock().unwrap().insert(key(20, "a"));
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    assert!(run(&mut source, &mut history, NOW).await.notes().contains("no longer there"));
    shelf.delete_key(&key(20, "a")).await;
    let lost = run(&mut source, &mut history, NOW).await;
    assert!(lost.notes().contains("deleted before it could be read"), "{}", lost.notes());
    assert_eq!(history.cursors.last().unwrap()["lost"][0], key(20, "a"));
    assert_eq!(run(&mut source, &mut history, NOW).await.notes(), "");
}

#[tokio::test]
async fn when_everything_is_refused_the_source_fails_and_names_the_permission() {
    let shelf = Shelf::new();
    shelf.put(&key(20, "a"), "1").await;
    shelf.denied.lock().unwrap().insert(key(20, "a"));
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    let run = run(&mut source, &mut history, NOW).await;
    assert!(run.error.unwrap().hint().contains("s3:GetObject"));
    assert!(history.cursors.is_empty());
}

#[tokio::test]
async fn reading_goes_on_where_it_stopped_even_when_less_is_asked_for() {
    let shelf = Shelf::new();
    shelf.put(&key(1, "a"), "1").await;
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    run(&mut source, &mut history, (None, "2020-01-02T00:00:00Z")).await;
    shelf.put(&key(10, "between"), "2").await;
    shelf.put(&key(20, "today"), "3").await;
    // Only today is asked for; what lies between would be left out for good.
    let second = run(&mut source, &mut history, (Some("2020-01-20T00:00:00Z"), NOW.1)).await;
    assert_eq!(names(&second), ["10/between", "20/today"]);
}

#[tokio::test]
async fn an_empty_bucket_is_said_to_be_empty() {
    let shelf = Shelf::new();
    shelf.put("logs/2020/01/20/readme.txt", "x").await;
    let (mut source, mut history) =
        (shelf.source("s3://b", One(Role::Log, Days::Plain)), History::default());
    let run = run(&mut source, &mut history, NOW).await;
    assert!(run.notes().contains("there are no log files"), "{}", run.notes());
    assert!(run.notes().contains("readme.txt"), "{}", run.notes());
}

#[tokio::test]
async fn a_growing_file_is_read_from_where_it_was_left_line_by_line() {
    let shelf = Shelf::new();
    let blob = "logs/y=2020/m=01/d=20/h=09/m=00/PT1H.json";
    let (mut source, mut history) =
        (shelf.source("az://a/c", One(Role::Lines, Days::Named)), History::default());
    let mut parts = Vec::new();
    let grown = ["{\"a\":1}\n{\"b\"", "{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\n{\"b\":2}\n{\"c\":3}"];
    for content in grown {
        shelf.put(blob, content).await;
        let run = run(&mut source, &mut history, NOW).await;
        parts.extend(
            run.objects().into_iter().map(|(_, part)| String::from_utf8(part.to_vec()).unwrap()),
        );
    }
    assert_eq!(parts, ["{\"a\":1}\n", "{\"b\":2}\n", "{\"c\":3}"]);
    let before = shelf.got.lock().unwrap().len();
    assert!(run(&mut source, &mut history, NOW).await.batches.is_empty());
    assert_eq!(shelf.got.lock().unwrap().len(), before, "an unchanged file was got again");
}

#[tokio::test]
async fn a_line_that_breaks_off_is_handed_on_once_the_file_is_old() {
    let shelf = Shelf::new();
    let blob = "logs/y=2020/m=01/d=20/h=09/m=00/PT1H.json";
    shelf.put(blob, "{\"a\":1}\n{\"b\"").await;
    let (mut source, mut history) =
        (shelf.source("az://a/c", One(Role::Lines, Days::Named)), History::default());
    run(&mut source, &mut history, NOW).await;
    let later = (Some("2020-01-20T00:00:00Z"), "2100-01-01T00:00:00Z");
    let second = run(&mut source, &mut history, later).await;
    assert_eq!(second.objects()[0].1, b"{\"b\"");
}

#[tokio::test]
async fn an_array_or_wrapper_is_read_whole_when_it_is_whole_and_when_it_changes() {
    let shelf = Shelf::new();
    let blob = "logs/y=2020/m=01/d=20/h=09/m=00/PT1H.json";
    let (mut source, mut history) =
        (shelf.source("az://a/c", One(Role::Lines, Days::Named)), History::default());
    shelf.put(blob, "{\"records\":[{\"a\":1},\n").await;
    assert!(run(&mut source, &mut history, NOW).await.objects().is_empty());
    for content in ["{\"records\":[{\"a\":1},\n{\"b\":2}]}", "[{\"a\":1}]"] {
        shelf.put(blob, content).await;
        assert_eq!(run(&mut source, &mut history, NOW).await.objects()[0].1, content.as_bytes());
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_is_read_from_its_beginning_and_told_of() {
    let shelf = Shelf::new();
    let blob = "logs/y=2020/m=01/d=20/h=09/m=00/PT1H.json";
    let (mut source, mut history) =
        (shelf.source("az://a/c", One(Role::Lines, Days::Named)), History::default());
    shelf.put(blob, "{\"a\":1}\n{\"b\":2}\n").await;
    run(&mut source, &mut history, NOW).await;
    for content in ["{\"c\":3}\n", "{\"ddddddddddddd\":4}\n"] {
        shelf.put(blob, content).await;
        let again = run(&mut source, &mut history, NOW).await;
        assert_eq!(again.objects()[0].1, content.as_bytes());
        assert!(again.notes().contains("it was read again"), "{}", again.notes());
    }
}

#[tokio::test]
async fn a_file_longer_than_a_chunk_is_read_in_whole_lines() {
    let shelf = Shelf::new();
    let blob = "logs/y=2020/m=01/d=20/h=09/m=00/PT1H.json";
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1 << 20));
    let content = line.repeat(40);
    shelf.put(blob, content.clone()).await;
    let (mut source, mut history) =
        (shelf.source("az://a/c", One(Role::Lines, Days::Named)), History::default());
    let first = run_some(&mut source, &mut history, NOW, 1).await;
    let second = run(&mut source, &mut history, NOW).await;
    let parts: Vec<_> =
        first.objects().into_iter().chain(second.objects()).map(|(_, part)| part).collect();
    assert!(parts.len() >= 3 && parts.iter().all(|part| part.ends_with(b"}\n")));
    assert!(parts.concat() == content.as_bytes());
}
