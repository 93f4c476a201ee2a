//! Files: unpacked, and cut into items.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use keytrail::provider::Reason;
use keytrail::provider::file::{self, Input, Limits, Piece, Place};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The lists that hold records: docs/import.md names them.
const LISTS: &[&str] = &["Records", "records", "Events", "events", "logEvents", "value", "entries"];

/// The mark of the order of bytes, as it stands at the beginning of some files.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One piece, owned.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Json { text: String, place: Place, list: String },
    Text { text: String },
    Cut { text: String, place: Place, reason: Reason },
}

/// The pieces of a file, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Pieces {
    found: Vec<Found>,
    end: String,
}

fn cut_up(reader: impl BufRead, limits: &Limits) -> Pieces {
    let mut found = Vec::new();
    let end = file::split(reader, limits, &mut |piece| {
        found.push(match piece {
            Piece::Json { text, place, wrapper, .. } => {
                Found::Json { text: text.to_owned(), place, list: wrapper.list.clone() }
            }
            Piece::Text { text, .. } => Found::Text { text: text.to_owned() },
            Piece::Cut { text, place, reason, .. } => Found::Cut { text, place, reason },
        });
        true
    });
    let end = match end {
        Ok(end) => format!("{end:?}"),
        Err(error) => error.to_string(),
    };
    Pieces { found, end }
}

/// Cutting does not depend on how the bytes arrive; pieces are bounded and stand in the file where
/// they say, one after the other; and of a file that is whole every item comes out, once, as it is.
///
/// The first byte chooses the limits (its lowest two bits; 0 means the program's own) and how many
/// bytes arrive at once (the rest).
pub fn split(data: &[u8]) {
    let Some((setting, bytes)) = super::setting(data) else { return };
    // A byte of a mark of the order of bytes is passed over where one would stand.
    if bytes.iter().take(3).any(|byte| MARK.contains(byte)) && !bytes.starts_with(MARK) {
        return;
    }
    let choice = setting & 3;
    let limits = match choice {
        0 => Limits::default(),
        1 => Limits { item_bytes: 64, depth: 4, ..Limits::default() },
        2 => Limits { item_bytes: 1, depth: 1, ..Limits::default() },
        _ => Limits { item_bytes: 4096, depth: 0, ..Limits::default() },
    };
    let pieces = cut_up(bytes, &limits);
    let chunk = 1 + usize::from(setting >> 2);
    assert_eq!(cut_up(BufReader::with_capacity(chunk, bytes), &limits), pieces, "{chunk} at once");
    bounded(bytes, &pieces, &limits);
    match bytes.iter().find(|byte| !b" \t\r\n\x1e".contains(byte) && !MARK.contains(byte)) {
        None => assert_eq!((pieces.found.len(), &*pieces.end), (0, "Empty")),
        Some(b'{' | b'[') => {
            placed(bytes, &pieces);
            if choice == 0 {
                complete(bytes, &pieces, &limits);
            }
        }
        Some(_) if choice == 0 => kept(bytes, &pieces),
        Some(_) => {}
    }
}

/// What is handed on is no longer than the limits say, whatever the file.
fn bounded(bytes: &[u8], pieces: &Pieces, limits: &Limits) {
    assert!(pieces.found.len() <= bytes.len(), "more pieces than bytes");
    for piece in &pieces.found {
        match piece {
            Found::Json { text, .. } => assert!(text.len() <= limits.item_bytes, "{text}"),
            // A byte that is no UTF-8 becomes a sign of three.
            Found::Text { text, .. } => assert!(text.len() <= 3 * limits.item_bytes, "{text}"),
            Found::Cut { text, .. } => assert!(text.len() <= 16 << 10, "{text}"),
        }
    }
}

/// The pieces of a JSON file stand where they say, one behind the other.
fn placed(bytes: &[u8], pieces: &Pieces) {
    let mut behind = 0;
    for piece in &pieces.found {
        let (text, place, exact) = match piece {
            Found::Json { text, place, .. } => (text, place, true),
            Found::Cut { text, place, .. } => (text, place, false),
            Found::Text { .. } => panic!("text in a JSON file"),
        };
        let from = usize::try_from(place.byte).unwrap();
        assert!(from >= behind, "pieces overlap: {pieces:?}");
        behind = from;
        if exact {
            let there = bytes.get(from..from + text.len());
            assert_eq!(there, Some(text.as_bytes()), "not at {place}");
            let line = bytes[..from].split(|byte| *byte == b'\n').count();
            assert_eq!(place.line, u64::try_from(line).unwrap(), "{pieces:?}");
            behind = from + text.len();
        }
    }
}

/// Of JSON that is whole, every item comes out as it is.
fn complete(bytes: &[u8], pieces: &Pieces, limits: &Limits) {
    let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
    let Some(text) = super::text(bytes) else { return };
    let Some(expected) = expected(text) else { return };
    assert_eq!(pieces.end, "Whole", "{text}");
    let cut = pieces.found.iter().any(|piece| matches!(piece, Found::Cut { .. }));
    if expected.deep >= limits.depth || expected.broken_lines {
        assert!(cut || expected.deep <= limits.depth, "too deep and not cut: {text}");
        return;
    }
    let found: Vec<(&str, &str)> = pieces.found.iter().map(json).collect();
    assert_eq!(found, expected.items, "{text}");
}

fn json(piece: &Found) -> (&str, &str) {
    match piece {
        Found::Json { text, list, .. } => (list, text),
        other => panic!("no item: {other:?}"),
    }
}

/// What another reader of JSON sees in a file.
#[derive(Default)]
struct Expected<'a> {
    /// List and text of each item.
    items: Vec<(&'static str, &'a str)>,
    deep: usize,
    /// A value over several lines follows values that stand one a line: such a line counts as
    /// broken, so that one that is costs itself alone.
    broken_lines: bool,
}

/// `None` where the text is not one JSON object or array behind the other.
fn expected(text: &str) -> Option<Expected<'_>> {
    let mut expected = Expected::default();
    let mut lines = false;
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let raw = value.ok()?.get();
        expected.deep = expected.deep.max(depth(raw));
        if raw.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            expected.items.extend(items.into_iter().map(|item| ("", item.get())));
            continue;
        }
        expected.broken_lines |= lines && raw.contains('\n');
        let members = raw.starts_with('{').then(|| members(raw)).flatten()?;
        let mut lists = members.iter().filter_map(|(name, value)| {
            let list = LISTS.iter().find(|list| *list == name)?;
            value.get().starts_with('[').then_some((*list, value.get()))
        });
        if let Some((list, values)) = lists.next() {
            let items: Vec<&RawValue> = serde_json::from_str(values).ok()?;
            expected.items.extend(items.into_iter().map(|item| (list, item.get())));
        } else {
            expected.items.push(("", raw));
            lines |= !raw.contains('\n');
        }
        // Which of two lists holds the records, nothing tells.
        if lists.next().is_some() {
            return None;
        }
    }
    Some(expected)
}

/// The members of an object in their order, repeated ones too.
fn members(raw: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Members;

    impl<'a> Visitor<'a> for Members {
        type Value = Vec<(String, &'a RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    serde_json::Deserializer::from_str(raw).deserialize_map(Members).ok()
}

/// How deep brackets are nested.
fn depth(raw: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Of a text log every word comes out, in order.
fn kept(bytes: &[u8], pieces: &Pieces) {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let mut all = String::new();
    for piece in &pieces.found {
        match piece {
            Found::Text { text } => all.push_str(text),
            Found::Cut { text, .. } if text.chars().count() < 4096 => all.push_str(text),
            // The time before a JSON message is the transport's.
            Found::Json { .. } | Found::Cut { .. } => return,
        }
    }
    if pieces.end != "Unknown"
        && let Some(text) = super::text(bytes)
    {
        assert_eq!(squeeze(&all), squeeze(text));
    }
}

/// A file is read as another reader of gzip reads it; one that is cut, or longer than its limit,
/// ends in an error and never looks whole. What is packed comes out again.
///
/// The first byte chooses the limit.
pub fn open(data: &[u8]) {
    let Some((setting, bytes)) = super::setting(data) else { return };
    let limit = [16, 1024, 1 << 16, 1 << 20][usize::from(setting & 3)];
    let read = read(bytes, limit);
    let mut other = Vec::new();
    let outcome = if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes).take(limit + 1).read_to_end(&mut other)
    } else {
        other.extend_from_slice(bytes);
        Ok(bytes.len())
    };
    let whole = outcome.is_ok() && other.len() <= usize::try_from(limit).unwrap();
    match read {
        Ok(read) => {
            assert!(whole, "what is cut or too long looks whole");
            assert!(read == other, "other bytes came out");
        }
        Err(error) => assert!(!whole, "a whole file was refused: {error}"),
    }
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let packed = [pack(one), pack(two)].concat();
    assert!(self::read(&packed, 1 << 30).unwrap() == bytes, "packing changed it");
}

fn read(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let input = Input::File { path: file.path().to_owned(), named: true };
    let mut read = Vec::new();
    file::open(&input, limit, |_| {}).map_err(|error| error.source)?.read_to_end(&mut read)?;
    Ok(read)
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
