//! Making text fit to be shown: characters that cannot be seen are written as what they are, and
//! overlong text is cut with a note.

use std::fmt::{self, Write as _};
use std::io;

/// The most characters of one field.
pub(super) const FIELD: usize = 1200;

/// Whether a character would be invisible, or would change how its neighbours look: control
/// characters but for the line feed, marks and overrides of direction, characters without width,
/// line and paragraph separators, tags, fillers and the byte order mark.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
        || (character.is_control() && character != '\n')
}

/// Writes hidden characters as `\u{202E}`, the rest as it is.
///
/// The page's markup goes through it as well as its values: markup holds no such character, and
/// so no value can be forgotten.
pub(super) struct Visible<'a> {
    out: &'a mut dyn io::Write,
    error: Option<io::Error>,
}

impl<'a> Visible<'a> {
    pub(super) fn new(out: &'a mut dyn io::Write) -> Self {
        Self { out, error: None }
    }

    /// Says whether all was written.
    ///
    /// # Errors
    /// The first error of the place that the text goes to.
    pub(super) fn finish(self) -> io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }

    fn pass(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error.get_or_insert(error);
            fmt::Error
        })
    }
}

impl fmt::Write for Visible<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((before, hidden, after)) = split_hidden(rest) {
            self.pass(before)?;
            self.pass(&format!("\\u{{{:04X}}}", u32::from(hidden)))?;
            rest = after;
        }
        self.pass(rest)
    }
}

fn split_hidden(text: &str) -> Option<(&str, char, &str)> {
    let (at, hidden) = text.char_indices().find(|(_, character)| is_hidden(*character))?;
    Some((text.get(..at)?, hidden, text.get(at + hidden.len_utf8()..)?))
}

/// One field on one line: line feeds become `\n`, tabs `\t`, and what is longer than `most`
/// characters is cut, with a note of how much.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(most) {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            other => shown.push(other),
        }
    }
    let more = text.chars().skip(most).count();
    if more > 0 {
        // Writing to a string cannot fail.
        write!(shown, "… [{more} more characters]").unwrap_or_default();
    }
    shown
}

/// Text of several lines for a preformatted block: tabs become spaces, and what is longer than
/// `most` characters is cut, with a note of how much.
pub(super) fn block(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(most) {
        if character == '\t' {
            shown.push_str("    ");
        } else {
            shown.push(character);
        }
    }
    let shown = shown.replace("\r\n", "\n");
    let more = text.chars().skip(most).count();
    if more > 0 {
        return format!("{shown}…\n[{more} more characters; the JSON report has all]");
    }
    shown
}

/// JSON text set out over lines, every token as it stands: numbers, escapes, the order of members
/// and repeated members stay. Text that is no JSON comes back as it is.
pub(super) fn set_out(text: &str) -> String {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut layout = Layout { out: String::with_capacity(text.len() * 2), depth: 0 };
    let mut in_string = false;
    let mut escaped = false;
    let mut tokens = text.chars().filter_map(move |character| {
        let was_in_string = in_string;
        in_string = match character {
            '"' if !escaped => !in_string,
            _ => in_string,
        };
        escaped = was_in_string && character == '\\' && !escaped;
        let skip = !was_in_string && character.is_ascii_whitespace();
        (!skip).then_some((character, was_in_string))
    });
    let mut ahead = tokens.next();
    while let Some((character, in_string)) = ahead {
        ahead = tokens.next();
        let closes = matches!(ahead, Some(('}' | ']', false)));
        layout.write(character, in_string, closes);
    }
    layout.out
}

/// JSON on its way to being set out.
struct Layout {
    out: String,
    depth: usize,
}

impl Layout {
    fn write(&mut self, character: char, in_string: bool, closes: bool) {
        match character {
            _ if in_string => self.out.push(character),
            '{' | '[' => {
                self.out.push(character);
                self.depth += 1;
                if !closes {
                    self.line();
                }
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if !self.out.ends_with(['{', '[']) {
                    self.line();
                }
                self.out.push(character);
            }
            ',' => {
                self.out.push(',');
                self.line();
            }
            ':' => self.out.push_str(": "),
            other => self.out.push(other),
        }
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_cannot_be_seen_are_written_out() {
        let mut bytes = Vec::new();
        let mut visible = Visible::new(&mut bytes);
        visible.write_str("a\u{202e}b\0c\u{200b}\r\n\u{feff}é日😀\u{7f}\u{9b}").unwrap();
        visible.finish().unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "a\\u{202E}b\\u{0000}c\\u{200B}\\u{000D}\n\\u{FEFF}é日😀\\u{007F}\\u{009B}"
        );
    }

    #[test]
    fn a_field_stands_on_one_line_and_says_how_much_is_cut() {
        assert_eq!(one_line("a\nb\tc", 10), "a\\nb\\tc");
        assert_eq!(one_line("日本語です", 3), "日本語… [2 more characters]");
    }

    #[test]
    fn json_is_set_out_without_touching_a_token() {
        let text = r#"{"b":1.0e3,"a":[],"a":{"x\"}":"{,:}"},"n":[18446744073709551616,null]}"#;
        let expected = "{\n  \"b\": 1.0e3,\n  \"a\": [],\n  \"a\": {\n    \"x\\\"}\": \"{,:}\"\n  \
            },\n  \"n\": [\n    18446744073709551616,\n    null\n  ]\n}";
        assert_eq!(set_out(text), expected);
        assert_eq!(set_out("{ }"), "{}");
        assert_eq!(set_out("\"a\\\\\""), "\"a\\\\\"");
    }

    #[test]
    fn text_that_is_no_json_stays_as_it_is() {
        for text in ["Time: 12/19/17\nOpcode: CN_LOGIN", "{\"a\":", "", "{} {}"] {
            assert_eq!(set_out(text), text);
        }
    }
}
