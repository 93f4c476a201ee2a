use super::*;

/// The pieces of a file as short words, and how it ended.
fn pieces(text: &str) -> (Vec<String>, String) {
    cut_up(text.as_bytes(), &Limits { item_bytes: 200, depth: 5, ..Limits::default() })
}

fn cut_up(bytes: &[u8], limits: &Limits) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let end = split(bytes, limits, &mut |piece| {
        found.push(match piece {
            Piece::Json { text, wrapper, .. } => format!("{}{text}", wrapper.list),
            Piece::Text { text, .. } => format!("text {text}"),
            Piece::Cut { text, reason, .. } => format!("{reason} {text}"),
        });
        true
    });
    let end = match end {
        Ok(end) => format!("{end:?}"),
        Err(error) => error.to_string(),
    };
    (found, end)
}

#[test]
fn a_list_in_a_wrapper_comes_item_by_item() {
    let (found, end) = pieces(r#"{"Records": [ {"a":1}, {"b":"]}"} ], "more": [1]}"#);
    assert_eq!(found, [r#"Records{"a":1}"#, r#"Records{"b":"]}"}"#]);
    assert_eq!(end, "Whole");
}

#[test]
fn text_members_before_the_list_are_kept_with_the_items() {
    let text = r#"{"logGroup":"/g","n":1,"logStream":"s","logEvents":[{"m":1}]}"#;
    let mut seen = None;
    split(text.as_bytes(), &Limits::default(), &mut |piece| {
        if let Piece::Json { wrapper, .. } = piece {
            seen = Some(wrapper.clone());
        }
        true
    })
    .unwrap();
    let wrapper = seen.unwrap();
    assert_eq!(wrapper.list, "logEvents");
    assert_eq!(wrapper.members["logStream"], "s");
    assert_eq!(wrapper.members["logGroup"], "/g");
}

#[test]
fn arrays_lines_and_pretty_printed_values_are_cut_alike() {
    for text in ["[{\"a\":1},{\"a\":2}]", "{\"a\":1}\n{\"a\":2}\n", "{\"a\":1} {\"a\":2}"] {
        assert_eq!(pieces(text).0, ["{\"a\":1}", "{\"a\":2}"], "{text}");
    }
    let (found, _) = pieces("\u{feff}{\n  \"a\": {\n    \"b\": 1\n  }\n}\n{\n  \"a\": 2\n}\n");
    assert_eq!(found.len(), 2);
}

#[test]
fn a_broken_line_costs_that_line_alone() {
    let (found, end) = pieces("{\"a\":1}\n{\"b\":\n{\"c\":3}\nnoise\n{\"d\":4}\n");
    assert_eq!(found, ["{\"a\":1}", "bad_json {\"b\":", "{\"c\":3}", "bad_json ", "{\"d\":4}"]);
    assert_eq!(end, "Whole");
    let (found, _) = pieces("{\"a\":\"cut\n{\"b\":2}\n{\"c\":3}\n");
    assert_eq!(found, ["bad_json {\"a\":\"cut", "{\"b\":2}", "{\"c\":3}"]);
}

#[test]
fn a_file_that_breaks_off_keeps_what_came_before() {
    let (found, end) = pieces(r#"{"Records":[{"a":1},{"b":"#);
    assert_eq!(found, [r#"Records{"a":1}"#, r#"truncated {"b":"#]);
    assert!(end.contains("breaks off"), "{end}");
    let (found, end) = pieces(r#"{"Records":[{"a":1},"#);
    assert_eq!(found, [r#"Records{"a":1}"#]);
    assert!(end.contains("breaks off"), "{end}");
}

#[test]
fn an_item_beyond_the_limits_is_cut_and_the_next_one_read() {
    let long = format!("[{{\"a\":\"{}\"}},{{\"b\":1}}]", "x".repeat(300));
    let (found, end) = pieces(&long);
    assert!(found[0].starts_with("too_large"), "{found:?}");
    assert_eq!(found[1], "{\"b\":1}");
    assert_eq!(end, "Whole");
    let deep = format!("[{}{},7]", "[".repeat(9), "]".repeat(9));
    assert!(pieces(&deep).0[0].starts_with("too_large"));
    assert_eq!(pieces(&deep).0[1], "7");
}

#[test]
fn what_is_no_log_is_told_apart_from_what_is_empty() {
    assert_eq!(pieces("").1, "Empty");
    assert_eq!(pieces(" \n ").1, "Empty");
    assert_eq!(pieces("folder\tupstream\n").1, "Unknown");
    assert_eq!(cut_up(&[0, 159, 146, 150], &Limits::default()).1, "Unknown");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_hang(bytes in proptest::collection::vec(0u8..=255, 0..400)) {
        cut_up(&bytes, &Limits::default());
    }

    #[test]
    fn no_mix_of_brackets_makes_it_panic_or_hang(text in "[\\[\\]{}\",:a1\\\\ \n]{0,200}") {
        pieces(&text);
    }

    #[test]
    fn every_item_of_a_list_comes_out_once(count in 0usize..20) {
        let items: Vec<String> = (0..count).map(|n| format!("{{\"n\":{n}}}")).collect();
        let (found, _) = pieces(&format!("[{}]", items.join(",\n ")));
        proptest::prop_assert_eq!(found, items);
    }
}
