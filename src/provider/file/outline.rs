//! Finds the end of a JSON value, and on the way the members of an object: what an item is can be
//! told from their names, without building anything from it.
//!
//! Only brackets and texts are looked at; whether the value is JSON is for a parser to say.

use std::ops::Range;

/// Where the members of an item stand, when it is an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    members: Vec<(Range<usize>, Range<usize>)>,
    /// Whether the members are all there, each with a name and a value.
    whole: bool,
    /// Whether a name is missing or holds an escape.
    odd: bool,
}

impl Outline {
    /// Makes an outline with room of its own out of a used one.
    pub(super) fn reset(mut self) -> Self {
        self.members.clear();
        (self.whole, self.odd) = (false, false);
        self
    }

    /// Adds a member: its name in quotes, whether that holds an escape, and its value.
    pub(super) fn add(&mut self, name: Range<usize>, escaped: bool, value: Range<usize>) {
        self.odd |= escaped || name.len() < 2;
        self.members.push((name, value));
    }

    /// Where names and values stand.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.members.iter().cloned()
    }

    /// Says that all members are there.
    pub(super) fn close(&mut self) {
        self.whole = true;
    }

    /// The members of `item` as they stand there: the name without its quotes, and the value.
    /// `None` where the outline does not know them all, or a name holds an escape.
    pub fn members<'i>(
        &'i self,
        item: &'i str,
    ) -> Option<impl Iterator<Item = (&'i str, Member<'i>)>> {
        let read = move |(name, value): &(Range<usize>, Range<usize>)| {
            let name = item.get(name.start + 1..name.end - 1).unwrap_or_default();
            (name, Member { item, place: value.start..value.end })
        };
        (self.whole && !self.odd).then(|| self.members.iter().map(read))
    }
}

/// The value of a member, which is seldom looked at.
#[derive(Debug, Clone)]
pub struct Member<'i> {
    item: &'i str,
    place: Range<usize>,
}

impl<'i> Member<'i> {
    /// The value as it stands there.
    pub fn text(&self) -> &'i str {
        self.item.get(self.place.clone()).unwrap_or_default().trim_ascii()
    }
}

/// Why scanning ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The value is complete.
    Value,
    /// No value begins with this byte.
    Odd(u8),
}

/// Scans one value (text, number, word, object or array), fed piece by piece.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of where the scan stands")]
pub(super) struct Scan {
    depth: usize,
    deepest: usize,
    in_text: bool,
    escaped: bool,
    taken: bool,
    /// How many bytes were taken before the piece that is being looked at.
    base: usize,
    /// Where the last text of the outermost object begins and ends, and where a value begins.
    text: Range<usize>,
    text_escaped: bool,
    value: Option<usize>,
    outline: Option<Outline>,
}

impl Scan {
    /// Scans a value and keeps its outline, in the room of `outline`.
    pub(super) fn outlining(outline: Outline) -> Self {
        Self { outline: Some(outline.reset()), ..Self::default() }
    }

    /// The outline, once the value is complete.
    pub(super) fn outline(self) -> Outline {
        self.outline.unwrap_or_default()
    }

    /// How deep the value is nested so far.
    pub(super) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Whether the value may end where the input does: a bare word or number.
    pub(super) fn may_end(&self) -> bool {
        self.depth == 0 && !self.in_text && self.taken
    }

    /// Looks at the next bytes; how many belong to the value, and whether it ended.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<End>) {
        let mut at = 0;
        loop {
            if self.in_text {
                at = self.text(bytes, at);
                if !self.in_text && self.depth == 0 {
                    return (at, Some(End::Value));
                }
            }
            let Some(byte) = bytes.get(at).copied() else { break };
            if self.depth == 0
                && let Some(end) = self.outside(byte)
            {
                return (at, Some(end));
            }
            self.taken = true;
            match byte {
                b'"' => self.begin_text(at),
                b'{' | b'[' => self.open(byte),
                b'}' | b']' => {
                    self.close(at);
                    if self.depth == 0 {
                        return (at + 1, Some(End::Value));
                    }
                }
                b':' if self.depth == 1 => self.colon(at),
                b',' if self.depth == 1 => self.comma(at),
                _ => {}
            }
            at += 1;
        }
        self.base += at;
        (at, None)
    }

    /// What a byte outside of all brackets ends.
    fn outside(&self, byte: u8) -> Option<End> {
        match byte {
            b'}' | b']' | b',' | b':' if self.taken => Some(End::Value),
            b'}' | b']' | b',' | b':' => Some(End::Odd(byte)),
            space if super::split::is_space(space) && self.taken => Some(End::Value),
            _ => None,
        }
    }

    /// Skips what belongs to a text; the place behind it, or behind the bytes.
    fn text(&mut self, bytes: &[u8], mut at: usize) -> usize {
        if std::mem::take(&mut self.escaped) {
            at += 1;
        }
        while let Some(rest) = bytes.get(at..) {
            match memchr::memchr2(b'"', b'\\', rest) {
                None => break,
                Some(found) if rest.get(found) == Some(&b'"') => {
                    self.in_text = false;
                    let end = at + found + 1;
                    if self.depth == 1 {
                        self.text.end = self.base + end;
                    }
                    return end;
                }
                Some(found) => {
                    self.text_escaped = true;
                    if at + found + 1 < bytes.len() {
                        at += found + 2;
                        continue;
                    }
                    self.escaped = true;
                    break;
                }
            }
        }
        bytes.len()
    }

    fn begin_text(&mut self, at: usize) {
        self.in_text = true;
        if self.depth == 1 {
            self.text.start = self.base + at;
            self.text_escaped = false;
        }
    }

    fn open(&mut self, bracket: u8) {
        if self.depth == 0 && bracket == b'[' {
            // The items of an array have no names.
            self.outline = None;
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn colon(&mut self, at: usize) {
        self.value = Some(self.base + at + 1);
        if let Some(outline) = &mut self.outline {
            outline.add(self.text.clone(), self.text_escaped, 0..0);
        }
    }

    fn comma(&mut self, at: usize) {
        let end = self.base + at;
        match (&mut self.outline, self.value.take()) {
            (Some(outline), Some(from)) => {
                if let Some((_, value)) = outline.members.last_mut() {
                    *value = from..end;
                }
            }
            // Two commas, or something without a name.
            (outline, _) => *outline = None,
        }
    }

    fn close(&mut self, at: usize) {
        self.depth -= 1;
        if self.depth > 0 {
            return;
        }
        let empty = self.text.end == 0 && self.value.is_none();
        if !empty {
            self.comma(at);
        }
        if let Some(outline) = &mut self.outline {
            outline.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(item: &str, piece: usize) -> Option<Vec<(String, String)>> {
        let mut scan = Scan::outlining(Outline::default());
        let mut end = None;
        for bytes in item.as_bytes().chunks(piece) {
            assert_eq!(end, None, "{item}");
            let (count, now) = scan.feed(bytes);
            assert!(now.is_some() || count == bytes.len());
            end = now;
        }
        assert_eq!(end, Some(End::Value), "{item}");
        let outline = scan.outline();
        let members = outline.members(item)?;
        Some(members.map(|(name, value)| (name.to_owned(), value.text().to_owned())).collect())
    }

    #[test]
    fn the_members_of_an_object_are_found_however_it_is_cut() {
        let item = r#"{ "a" : {"b":[1,"}"],"c":"\"x"}, "d":"e:,f\\", "g":null,"h":[{"i":1}]}"#;
        let expected = [
            ("a", r#"{"b":[1,"}"],"c":"\"x"}"#),
            ("d", r#""e:,f\\""#),
            ("g", "null"),
            ("h", r#"[{"i":1}]"#),
        ];
        for piece in 1..item.len() {
            let found = members(item, piece).unwrap();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((name, value), expected) in found.iter().zip(expected) {
                assert_eq!((name.as_str(), value.as_str()), expected, "in pieces of {piece}");
            }
        }
        assert_eq!(members("{}", 9), Some(vec![]));
    }

    #[test]
    fn what_cannot_be_told_apart_has_no_outline() {
        for odd in [
            r#"{"a\u0062":1}"#,
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            "[1,2]",
            r#"{"a":1,,"b":2}"#,
            "{a:1}",
            r#"{"\"":[{"b":2}]}"#,
        ] {
            assert_eq!(members(odd, 99), None, "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn members_are_those_that_a_parser_finds(value in "[a-z{}\\[\\]\", ]{0,12}", names in proptest::collection::vec("[a-z\" ]{0,4}", 0..5)) {
            let object: serde_json::Map<String, serde_json::Value> =
                names.into_iter().map(|name| (name, serde_json::json!({"v": [value, 1, null]}))).collect();
            let item = serde_json::to_string(&object).unwrap();
            let expected: Vec<(String, String)> =
                object.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
            if object.keys().any(|name| name.contains('"')) {
                assert_eq!(members(&item, 7), None);
            } else {
                assert_eq!(members(&item, 7), Some(expected));
            }
        }
    }
}
