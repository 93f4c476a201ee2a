//! Cuts a log file into items, one at a time: the elements of a wrapper's list, the items of an
//! array, JSON values one after the other (one a line, or pretty-printed), or blocks of text.
//!
//! What is broken is handed on as [`Piece::Cut`] with its place, and reading goes on behind it
//! where that is possible: in a file of JSON lines a broken line costs that line alone.

use std::io::{self, BufRead, Read as _};
use std::ops::Range;

use super::super::Reason;
use super::outline::{End, Outline, Scan};
use super::piece::{Piece, Place, Split, SplitError, Wrapper};
use super::{Limits, text};

/// The lists that hold records in the exports that are known.
const LISTS: &[&str] = &["Records", "records", "Events", "events", "logEvents", "value", "entries"];

/// How much of a broken item is kept.
const CUT_BYTES: usize = 4096;

/// Cuts `reader` into items and hands each to `receive`, which says whether to go on.
///
/// # Errors
/// When reading fails or the file breaks off; the items before that were handed on.
pub fn split(
    mut reader: impl BufRead,
    limits: &Limits,
    receive: &mut dyn FnMut(Piece<'_>) -> bool,
) -> Result<Split, SplitError> {
    let mut head = Vec::new();
    let outcome = reader.by_ref().take(64 << 10).read_to_end(&mut head);
    let start = head.iter().position(|byte| !is_space(*byte) && !b"\xef\xbb\xbf".contains(byte));
    let first = start.and_then(|at| head.get(at)).copied();
    if let (Err(source), None) = (&outcome, first) {
        let source = io::Error::new(source.kind(), source.to_string());
        return Err(SplitError::Read { place: Place::default(), source });
    }
    // A failing reader fails again when the items behind its head are asked for.
    let whole = head.as_slice().chain(reader);
    match first {
        None => Ok(Split::Empty),
        Some(b'{' | b'[') => Splitter::new(whole, limits, receive).run(),
        Some(_) if text::looks_like(&head) => text::split(whole, limits, receive),
        Some(_) => Ok(Split::Unknown),
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1e)
}

/// Why scanning a value stopped early.
enum Halt {
    /// The receiver had enough.
    Stopped,
    /// The input ended inside it.
    End,
    /// A line ended inside it, in a file of lines.
    Line,
    /// A byte stands where it cannot.
    Odd(u8),
    /// Reading failed.
    Read(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is one fact of where the scan stands")]
struct Splitter<'r, R> {
    reader: R,
    limits: &'r Limits,
    receive: &'r mut dyn FnMut(Piece<'_>) -> bool,
    /// The item being read; it stops growing at the limit.
    item: Vec<u8>,
    /// Whether the item is longer or deeper than allowed.
    oversize: bool,
    wrapper: Wrapper,
    outline: Outline,
    place: Place,
    began: Place,
    /// The last byte that was not white space, and whether a line has just begun.
    last: u8,
    fresh_line: bool,
    /// Whether values stand one a line.
    lines: bool,
    /// Whether the value being read stands at top level, where a line end can tell a broken one.
    top: bool,
}

impl<'r, R: BufRead> Splitter<'r, R> {
    fn new(reader: R, limits: &'r Limits, receive: &'r mut dyn FnMut(Piece<'_>) -> bool) -> Self {
        Self {
            reader,
            limits,
            receive,
            item: Vec::new(),
            oversize: false,
            wrapper: Wrapper::default(),
            outline: Outline::default(),
            place: Place { line: 1, byte: 0 },
            began: Place::default(),
            last: b'\n',
            fresh_line: true,
            lines: false,
            top: true,
        }
    }

    /// Reads values one after the other until the end.
    fn run(mut self) -> Result<Split, SplitError> {
        loop {
            match self.value() {
                Ok(true) => {}
                Ok(false) => return Ok(Split::Whole),
                Err(Halt::Stopped) => return Ok(Split::Stopped),
                Err(Halt::Read(source)) => {
                    self.cut(Reason::Truncated, "the file cannot be read on inside this item");
                    return Err(SplitError::Read { place: self.place, source });
                }
                Err(Halt::End) => {
                    self.cut(Reason::Truncated, "the file ends inside this item");
                    let detail = "the file ends inside a value".to_owned();
                    return Err(SplitError::Broken { place: self.place, detail });
                }
                Err(Halt::Line) => {
                    if !self.cut(Reason::BadJson, "the line ends inside this item") {
                        return Ok(Split::Stopped);
                    }
                }
                Err(Halt::Odd(byte)) => {
                    let shown = char::from(byte).escape_default().to_string();
                    let more = self.cut(Reason::BadJson, &format!("unexpected `{shown}`"));
                    match (more, self.skip_line()) {
                        (true, Ok(())) => {}
                        (false, _) => return Ok(Split::Stopped),
                        (true, Err(source)) => {
                            return Err(SplitError::Read { place: self.place, source });
                        }
                    }
                }
            }
        }
    }

    /// Reads one value at top level; `false` at the end of the file.
    fn value(&mut self) -> Result<bool, Halt> {
        self.top = true;
        self.begin();
        let Some(byte) = self.skip_space()? else { return Ok(false) };
        self.begin();
        self.wrapper = Wrapper::default();
        match byte {
            b'{' => self.object()?,
            b'[' => {
                self.take()?;
                self.list()?;
            }
            odd => return Err(Halt::Odd(odd)),
        }
        Ok(true)
    }

    /// Reads an object at top level: a wrapper's list item by item, else the object as one item.
    fn object(&mut self) -> Result<(), Halt> {
        let first_line = self.place.line;
        let mut wrapped = false;
        self.take()?;
        loop {
            match self.skip_space()? {
                Some(b'}') => break,
                Some(b',') => {
                    self.take()?;
                }
                Some(b'"') => {
                    let from = self.item.len();
                    self.scan(Scan::default())?;
                    let name = from..self.item.len();
                    if self.skip_space()? != Some(b':') {
                        return self.odd();
                    }
                    self.take()?;
                    wrapped |= self.member(name, wrapped)?;
                }
                _ => return self.odd(),
            }
        }
        self.take()?;
        self.outline.close();
        if !wrapped {
            self.lines |= first_line == self.place.line;
            self.emit()?;
        }
        self.begin();
        Ok(())
    }

    /// Reads the value of one member of a top-level object; whether it was a list of items.
    fn member(&mut self, name: Range<usize>, wrapped: bool) -> Result<bool, Halt> {
        if self.skip_space()? == Some(b'[') && !wrapped && self.names_list(&name) {
            self.take()?;
            self.enter(name);
            self.list()?;
            self.begin();
            return Ok(true);
        }
        let from = self.item.len();
        self.scan(Scan::default())?;
        let escaped = self.item.get(name.clone()).is_some_and(|name| name.contains(&b'\\'));
        self.outline.add(name, escaped, from..self.item.len());
        if wrapped {
            self.begin();
        }
        Ok(false)
    }

    /// Whether a member holds the records of an export; such names hold no escapes.
    fn names_list(&self, name: &Range<usize>) -> bool {
        let name = self.item.get(name.clone()).unwrap_or_default();
        LISTS
            .iter()
            .any(|list| name.strip_prefix(b"\"") == Some(&[list.as_bytes(), b"\""].concat()))
    }

    /// Takes the object that is being read for the wrapper of the list `name`, with what stands
    /// before it.
    fn enter(&mut self, name: Range<usize>) {
        self.wrapper.list = self.text_of(name);
        for (name, value) in self.outline.ranges().take(32) {
            if value.len() <= 1024 && self.item.get(value.start) == Some(&b'"') {
                let (name, value) = (self.text_of(name), self.text_of(value));
                self.wrapper.members.insert(name, value);
            }
        }
    }

    /// Reads the items of a list, whose bracket was taken, up to and with its closing bracket.
    fn list(&mut self) -> Result<(), Halt> {
        self.top = false;
        loop {
            self.begin();
            match self.skip_space()? {
                None => return Err(Halt::End),
                Some(b']') => {
                    self.take()?;
                    break;
                }
                Some(b',') => {
                    self.take()?;
                }
                Some(odd @ (b'}' | b':')) => return Err(Halt::Odd(odd)),
                Some(_) => {
                    self.begin();
                    let outline = std::mem::take(&mut self.outline);
                    self.outline = self.scan(Scan::outlining(outline))?.outline();
                    self.emit()?;
                }
            }
        }
        self.top = true;
        Ok(())
    }

    /// Takes one whole value (text, number, word, object or array) into the item.
    fn scan(&mut self, mut scan: Scan) -> Result<Scan, Halt> {
        loop {
            // Where the end of a line can tell a broken item, lines are looked at one by one.
            let by_line = self.top && self.wrapper.list.is_empty();
            let bytes = self.reader.fill_buf()?;
            let Some(first) = bytes.first().copied() else {
                // A bare word or number ends with the file.
                return if scan.may_end() { Ok(scan) } else { Err(Halt::End) };
            };
            let mut chunk = bytes;
            if by_line {
                let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len()).max(1);
                chunk = bytes.get(..line).unwrap_or(bytes);
            }
            let (count, end) = scan.feed(chunk);
            if by_line && count > 0 && self.halts(first) {
                return Err(Halt::Line);
            }
            self.take_all(count)?;
            self.oversize |= scan.deepest() > self.limits.depth;
            match end {
                None => {}
                Some(End::Value) => return Ok(scan),
                Some(End::Odd(byte)) => return Err(Halt::Odd(byte)),
            }
        }
    }

    fn odd<T>(&mut self) -> Result<T, Halt> {
        match self.peek()? {
            None => Err(Halt::End),
            Some(byte) => Err(Halt::Odd(byte)),
        }
    }

    /// Starts a new item here.
    fn begin(&mut self) {
        self.item.clear();
        self.outline = std::mem::take(&mut self.outline).reset();
        self.oversize = false;
        self.began = self.place;
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    /// Takes one byte into the item.
    fn take(&mut self) -> Result<(), Halt> {
        let Some(byte) = self.peek()? else { return Err(Halt::End) };
        if self.top && self.wrapper.list.is_empty() && self.halts(byte) {
            return Err(Halt::Line);
        }
        self.take_all(1)
    }

    /// Whether the next byte tells that the item at top level is broken: a line that ends inside an
    /// item, in a file of lines; a `{` at the start of a line where no value can begin.
    fn halts(&mut self, byte: u8) -> bool {
        if self.item.is_empty() {
            return false;
        }
        if byte == b'\n' && self.lines {
            self.pass(byte);
            return true;
        }
        byte == b'{' && self.fresh_line && !b"[,:".contains(&self.last)
    }

    /// Takes bytes that are in the reader's buffer into the item.
    fn take_all(&mut self, count: usize) -> Result<(), Halt> {
        let bytes = self.reader.fill_buf()?;
        let bytes = bytes.get(..count).unwrap_or(bytes);
        let room = self.limits.item_bytes.saturating_sub(self.item.len());
        self.oversize |= bytes.len() > room;
        self.item.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let lines = memchr::memchr_iter(b'\n', bytes).count();
        self.place.line += u64::try_from(lines).unwrap_or(0);
        self.place.byte += u64::try_from(bytes.len()).unwrap_or(0);
        if let Some(byte) = bytes.last() {
            self.fresh_line = *byte == b'\n';
        }
        if let Some(byte) = bytes.iter().rev().find(|byte| !is_space(**byte)) {
            self.last = *byte;
        }
        self.reader.consume(count);
        Ok(())
    }

    /// Moves over one byte.
    fn pass(&mut self, byte: u8) {
        self.reader.consume(1);
        self.place.byte += 1;
        self.fresh_line = byte == b'\n';
        if byte == b'\n' {
            self.place.line += 1;
        }
        if !is_space(byte) {
            self.last = byte;
        }
    }

    /// Takes white space into the item and returns the byte behind it.
    fn skip_space(&mut self) -> Result<Option<u8>, Halt> {
        while let Some(byte) = self.peek()? {
            let mark = self.place.byte == 0 && byte == 0xef
                || self.place.byte < 3 && matches!(byte, 0xbb | 0xbf);
            if mark {
                self.pass(byte);
            } else if is_space(byte) {
                if self.item.is_empty() { self.pass(byte) } else { self.take()? }
            } else {
                return Ok(Some(byte));
            }
        }
        if self.item.is_empty() { Ok(None) } else { Err(Halt::End) }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        while let Some(byte) = self.peek()? {
            self.pass(byte);
            if byte == b'\n' {
                break;
            }
        }
        self.begin();
        Ok(())
    }

    /// The text of a JSON string in the item.
    fn text_of(&self, place: Range<usize>) -> String {
        serde_json::from_slice(self.item.get(place).unwrap_or_default()).unwrap_or_default()
    }

    fn emit(&mut self) -> Result<(), Halt> {
        let place = self.began;
        let more = if self.oversize {
            let detail = format!(
                "longer than {} bytes or nested deeper than {}",
                self.limits.item_bytes, self.limits.depth
            );
            self.cut(Reason::TooLarge, &detail)
        } else {
            match std::str::from_utf8(&self.item) {
                Ok(text) => {
                    let (wrapper, outline) = (&self.wrapper, &self.outline);
                    (self.receive)(Piece::Json { text, place, wrapper, outline })
                }
                Err(_) => self.cut(Reason::BadText, "not valid UTF-8"),
            }
        };
        if more { Ok(()) } else { Err(Halt::Stopped) }
    }

    /// Hands on what there is of a broken item, if anything; whether to go on.
    fn cut(&mut self, reason: Reason, detail: &str) -> bool {
        let kept = self.item.get(..CUT_BYTES.min(self.item.len())).unwrap_or_default();
        let text = String::from_utf8_lossy(kept).trim_end().to_owned();
        let place = self.began;
        self.begin();
        if text.is_empty() && reason == Reason::Truncated {
            return true;
        }
        (self.receive)(Piece::Cut { text, place, reason, detail: detail.to_owned() })
    }
}

#[cfg(test)]
mod tests;
