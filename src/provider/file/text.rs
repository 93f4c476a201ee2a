//! Text logs: blocks of an AWS CloudHSM audit log, and the lines of a CloudWatch Logs export task,
//! each with a time before the message.

use std::io::{BufRead, Read as _};

use super::super::Reason;
use super::super::aws::cloudhsm;
use super::Limits;
use super::outline::Outline;
use super::piece::{Piece, Place, Split, SplitError, Wrapper};

/// Whether the head of a file shows one of the text logs.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    text.lines().take(200).any(|line| cloudhsm::is_block_start(line) || json_of(line).is_some())
}

/// The JSON message of an export task's line: `2026-01-02T03:04:05.678Z {…}`.
fn json_of(line: &str) -> Option<&str> {
    let (time, message) = line.split_once(' ')?;
    (time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok() && message.starts_with('{'))
        .then_some(message)
}

/// Cuts a text log into blocks.
pub(super) fn split(
    mut reader: impl BufRead,
    limits: &Limits,
    receive: &mut dyn FnMut(Piece<'_>) -> bool,
) -> Result<Split, SplitError> {
    let mut blocks = Blocks { block: String::new(), began: Place::default(), headless: false };
    let mut place = Place { line: 1, byte: 0 };
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(limits.item_bytes).unwrap_or(u64::MAX);
        let count = reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|source| SplitError::Read { place, source });
        let count = match count {
            Ok(count) => count,
            Err(error) => {
                blocks.cut(receive);
                return Err(error);
            }
        };
        if count == 0 {
            return Ok(if blocks.flush(receive) { Split::Whole } else { Split::Stopped });
        }
        if !blocks.line(&String::from_utf8_lossy(&line), place, limits, receive) {
            return Ok(Split::Stopped);
        }
        place.byte += u64::try_from(count).unwrap_or(0);
        place.line += 1;
    }
}

/// The block being gathered.
struct Blocks {
    block: String,
    began: Place,
    /// Whether the block lacks its first line.
    headless: bool,
}

impl Blocks {
    /// Takes one line; whether to go on.
    fn line(
        &mut self,
        line: &str,
        place: Place,
        limits: &Limits,
        receive: &mut dyn FnMut(Piece<'_>) -> bool,
    ) -> bool {
        let mut more = true;
        if let Some(message) = json_of(line.trim_end()) {
            more = self.flush(receive)
                && receive(Piece::Json {
                    text: message,
                    place,
                    wrapper: &Wrapper::default(),
                    outline: &Outline::default(),
                });
            return more;
        }
        let starts = cloudhsm::is_block_start(line);
        if starts || self.block.len() + line.len() > limits.item_bytes {
            more = self.flush(receive);
        }
        if self.block.is_empty() {
            if line.trim().is_empty() {
                return more;
            }
            self.began = place;
            self.headless = !starts;
        }
        self.block.push_str(line);
        more
    }

    /// Hands on the block, if there is one.
    fn flush(&mut self, receive: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
        let block = std::mem::take(&mut self.block);
        let text = block.trim_end();
        if text.is_empty() {
            return true;
        }
        let place = self.began;
        if self.headless {
            let detail = "text before the first line of a block (`Time: …`)".to_owned();
            let text = text.chars().take(4096).collect();
            return receive(Piece::Cut { text, place, reason: Reason::BadText, detail });
        }
        receive(Piece::Text { text, place })
    }

    /// Hands on the block as one that breaks off.
    fn cut(&mut self, receive: &mut dyn FnMut(Piece<'_>) -> bool) {
        let text: String = std::mem::take(&mut self.block).chars().take(4096).collect();
        if !text.trim().is_empty() {
            let (place, reason) = (self.began, Reason::Truncated);
            let detail = "the file cannot be read on inside this block".to_owned();
            receive(Piece::Cut { text, place, reason, detail });
        }
    }
}
