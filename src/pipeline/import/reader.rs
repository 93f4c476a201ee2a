//! Reading one file: it is cut into items, each item translated, and parts are sent on when full.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::{Import, Imported, Problem, Scope, Unrecognised};
use crate::event::batch::{Record, Room};
use crate::event::{Format, sha256_hex, to_hex};
use crate::provider::file::{Class, Glance, Input, Item, Piece, Split, SplitError, Wrapper};
use crate::provider::file::{classify, glance, open, split, unpack};
use crate::provider::inventory::{InventoryContext, InventoryKind};
use crate::provider::{Context, Mapped, Reason, Reject, inventory_rows, key_hint, normalize};
use crate::store::{Events, FileRead, Page, Quarantined, Receipt, Snapshot};

/// A part is sent when it holds this many events, or this many bytes.
const PART_EVENTS: usize = 1024;
const PART_BYTES: usize = 2 << 20;

/// How much of a quarantined record is kept.
const QUARANTINE_BYTES: usize = 64 << 10;

/// What reading a file gives, in order.
pub(in crate::pipeline) enum Yield {
    /// Some of what is in it, and its size in bytes.
    Part(Page, usize),
    /// It was read; the counts of it lack what only the store knows.
    Done(Imported, BTreeSet<Scope>),
}

/// Takes what is read; whether to go on.
pub(in crate::pipeline) type Take<'a> = &'a dyn Fn(Yield) -> bool;

/// Reads a file. `bytes` grows by what was taken from the disk; `room` is what the parts of the
/// file before took, and then what those of this one took.
pub(super) fn read(
    job: &Import,
    (input, bytes): (&Input, &Arc<AtomicU64>),
    room: &mut Room,
    take: Take<'_>,
) {
    let mut reader = Reader::new(job, take);
    reader.room = std::mem::take(room);
    reader.file(input, bytes);
    *room = reader.finish();
}

/// Something that was fetched and not found in a file.
pub(in crate::pipeline) enum Fetched<'a> {
    /// A record of a known format.
    Record {
        /// Its format.
        format: Format,
        /// Its bytes.
        raw: String,
        /// How it came.
        transport: &'static str,
    },
    /// An object that is cut as a file is, gzip or not.
    Object(&'a [u8]),
    /// An inventory document.
    Document(InventoryKind, &'a serde_json::Value, InventoryContext),
}

/// Translates what was fetched from `source`, just as if it stood in a file of that name.
pub(in crate::pipeline) fn read_fetched(
    job: &Import,
    (source, context): (&Arc<str>, Context),
    fetched: Fetched<'_>,
    take: Take<'_>,
) {
    let mut reader = Reader::new(job, take);
    let inventory = match &fetched {
        Fetched::Document(_, _, context) => context.clone(),
        _ => InventoryContext::default(),
    };
    let mut file = FileState {
        source: Arc::clone(source),
        named: false,
        context: Arc::new(context),
        inventory,
        // The source keeps the hashes of what it reads itself.
        is_trail_log: false,
        recognised: true,
        doubtful: Vec::new(),
    };
    match fetched {
        Fetched::Record { format, raw, transport } => {
            let context = Arc::clone(&file.context);
            let found = Found { format, raw: raw.into(), transport, context: &context };
            reader.record(found, &String::new, &file);
        }
        Fetched::Document(kind, value, _) => {
            reader.inventory(kind, value, &value.to_string(), &file);
        }
        Fetched::Object(bytes) => {
            file.recognised = false;
            reader.imported.files += 1;
            match unpack(bytes, job.limits.file_bytes) {
                Ok(bytes) => reader.bytes(bytes, file),
                Err(error) => reader.problem(source, error.to_string(), None),
            }
        }
    }
    drop(reader.finish());
}

struct Reader<'a> {
    job: &'a Import,
    take: Take<'a>,
    part: Page,
    part_bytes: usize,
    /// How much room the events of a part take.
    room: Room,
    met: BTreeSet<Scope>,
    imported: Imported,
    /// Whether the store still takes pages.
    open: bool,
}

/// What is known of the file being read.
struct FileState {
    source: Arc<str>,
    named: bool,
    context: Arc<Context>,
    inventory: InventoryContext,
    /// Whether it is named like a log file of a trail.
    is_trail_log: bool,
    /// Whether something in it was of a known format.
    recognised: bool,
    /// What was not, until it is known whether the file is one of ours.
    doubtful: Vec<Quarantined>,
}

/// A reader that counts what was taken from it, and hashes it where that is wanted.
struct Counted<R> {
    inner: R,
    count: u64,
    hash: Option<Sha256>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += u64::try_from(count).unwrap_or(0);
        if let (Some(hash), Some(taken)) = (&mut self.hash, buffer.get(..count)) {
            hash.update(taken);
        }
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // What is consumed lies in the buffer: nothing is read for it.
        if let Some(hash) = self.hash.as_mut().filter(|_| count > 0)
            && let Ok(buffer) = self.inner.fill_buf()
        {
            hash.update(buffer.get(..count).unwrap_or(buffer));
        }
        self.inner.consume(count);
        self.count += u64::try_from(count).unwrap_or(0);
    }
}

impl<R: BufRead> Counted<R> {
    /// What was read, by its hash; `None` where it was not wanted, or does not end well.
    fn file_read(mut self, name: String) -> Option<FileRead> {
        // What stands behind the last record belongs to the file as well.
        io::copy(&mut self, &mut io::sink()).ok()?;
        let sha256 = to_hex(&self.hash?.finalize());
        Some(FileRead { name, sha256 })
    }
}

/// A record and what is known about it.
struct Found<'a> {
    format: Format,
    raw: std::borrow::Cow<'a, str>,
    transport: &'static str,
    context: &'a Context,
}

/// A piece that is no record of ours, and why.
struct Doubt<'a> {
    reason: Reason,
    detail: &'a str,
    place: &'a str,
    text: &'a str,
    format: Option<Format>,
}

impl<'a> Reader<'a> {
    fn new(job: &'a Import, take: Take<'a>) -> Self {
        Self {
            job,
            take,
            part: Page::default(),
            part_bytes: 0,
            room: Room::default(),
            met: BTreeSet::new(),
            imported: Imported::default(),
            open: true,
        }
    }

    /// Hands on what is left, and the counts; how much room the events of a part took.
    fn finish(mut self) -> Room {
        self.flush();
        if self.open {
            (self.take)(Yield::Done(self.imported, self.met));
        }
        self.room
    }
}

impl Reader<'_> {
    fn file(&mut self, input: &Input, read: &Arc<AtomicU64>) {
        self.imported.files += 1;
        let source = input.name();
        let job = self.job;
        let file = FileState {
            named: input.is_named(),
            context: Arc::new(job.origin.context(&source)),
            inventory: InventoryContext {
                account: job.origin.account.clone(),
                region: job.origin.region.clone(),
                key_hint: job.key.clone().or_else(|| key_hint(&source)),
            },
            is_trail_log: is_trail_log(&source),
            source: source.into(),
            recognised: false,
            doubtful: Vec::new(),
        };
        let counter = Arc::clone(read);
        let count = move |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        };
        match open(input, job.limits.file_bytes, count) {
            Ok(bytes) => self.bytes(bytes, file),
            Err(error) => {
                let message = format!("{error}: {}", error.source);
                self.problem(&file.source, message, None);
            }
        }
    }

    /// Cuts and translates the bytes of a file.
    fn bytes(&mut self, bytes: impl BufRead, mut file: FileState) {
        let hash = file.is_trail_log.then(Sha256::new);
        let mut bytes = Counted { inner: bytes, count: 0, hash };
        let limits = self.job.limits;
        let outcome = split(&mut bytes, &limits, &mut |piece| self.piece(piece, &mut file));
        self.imported.bytes_read += bytes.count;
        let name = file.source.to_string();
        // What is in a file of no known format is not kept: it was not read.
        let kept = file.recognised || file.doubtful.is_empty();
        self.end(file, &outcome);
        if self.open && kept && matches!(outcome, Ok(Split::Whole)) {
            self.part.files.extend(bytes.file_read(name));
        }
    }

    /// Takes one piece of a file; whether to go on.
    fn piece(&mut self, piece: Piece<'_>, file: &mut FileState) -> bool {
        match piece {
            Piece::Json { text, place, wrapper, outline } => match glance(text, outline) {
                Glance::Irrelevant => {
                    file.recognised = true;
                    self.imported.records += 1;
                    self.imported.irrelevant += 1;
                }
                Glance::CloudTrail => {
                    file.recognised = true;
                    let context = Arc::clone(&file.context);
                    let (format, raw, transport) = (Format::CloudTrail, text.into(), "file");
                    let found = Found { format, raw, transport, context: &context };
                    self.record(found, &|| place.to_string(), file);
                }
                Glance::Unsure => self.item(text, wrapper, &|| place.to_string(), file),
            },
            Piece::Text { text, place } => {
                self.item(text, &Wrapper::default(), &|| place.to_string(), file);
            }
            Piece::Cut { text, place, reason, detail } => {
                file.recognised |= seems_ours(&text);
                let (place, text, detail) = (&place.to_string(), &text, &detail);
                file.doubt(&Doubt { reason, detail, place, text, format: None });
            }
        }
        if file.recognised {
            self.settle(file);
        }
        self.open && file.doubtful.len() < self.job.limits.unknown_items
    }

    fn item(
        &mut self,
        text: &str,
        wrapper: &Wrapper,
        place: &dyn Fn() -> String,
        file: &mut FileState,
    ) {
        let context = Arc::clone(&file.context);
        let (reason, detail, format) = match classify(Item { text, wrapper, context: &context }) {
            Class::Record { format, raw, transport, context } => {
                file.recognised = true;
                let found = Found { format, raw, transport, context: &context };
                return self.record(found, place, file);
            }
            Class::Inventory(kind, value) => {
                file.recognised = true;
                return self.inventory(kind, &value, text, file);
            }
            Class::Proof(kind) => {
                file.recognised = true;
                self.imported.proofs += 1;
                let (source, raw) = (file.source.to_string(), text.to_owned());
                self.part.receipts.push(Receipt::Proof { source, kind: kind.to_owned(), raw });
                return;
            }
            Class::Envelope(format) => {
                let detail = "a record inside a wrapper that is not known".to_owned();
                (Reason::UnknownEnvelope, detail, Some(format))
            }
            Class::Broken(detail) => (Reason::BadJson, detail, None),
            Class::Unknown => (Reason::UnknownFormat, "of no known format".to_owned(), None),
        };
        file.doubt(&Doubt { reason, detail: &detail, place: &place(), text, format });
    }

    fn record(&mut self, found: Found<'_>, place: &dyn Fn() -> String, file: &FileState) {
        let Found { format, raw, transport, context } = found;
        self.imported.records += 1;
        match normalize(format, &raw, context) {
            Ok(Mapped::Irrelevant) => self.imported.irrelevant += 1,
            Ok(Mapped::Event(event)) => {
                if !self.met.iter().any(|scope| scope.holds(&event)) {
                    self.met.insert(Scope::of(&event));
                }
                self.part_bytes += raw.len();
                if self.part.events.is_empty() {
                    self.part.events = Events::with_room(self.room.clone());
                }
                let record = Record { raw: &raw, transport, source: &file.source };
                self.part.events.push(&event, record);
                self.flush_if_full();
            }
            Err(Reject { reason, detail }) => {
                let (detail, text, format) = (detail.as_str(), &*raw, Some(format));
                let doubt = Doubt { reason, detail, place: &place(), text, format };
                self.quarantine(file.quarantined(&doubt));
            }
        }
    }

    fn inventory(
        &mut self,
        kind: InventoryKind,
        value: &serde_json::Value,
        text: &str,
        file: &FileState,
    ) {
        match inventory_rows(kind, value, &file.inventory) {
            Ok(inventory) if inventory.is_empty() => {}
            Ok(inventory) => {
                self.imported.inventory += u64::try_from(inventory.len()).unwrap_or(0);
                self.part_bytes += text.len();
                self.part.snapshots.push(Snapshot {
                    source: file.source.to_string(),
                    digest: sha256_hex(text.as_bytes()),
                    captured_at: self.job.captured_at,
                    inventory,
                    verified: None,
                });
                self.flush_if_full();
            }
            Err(reject) => {
                let hint = "give what the document does not say: --account, --region, --key";
                let message = format!("inventory left out: {}", reject.detail);
                self.problem(&file.source, message, Some(hint));
            }
        }
    }

    /// Settles what a file was once it has been read.
    fn end(&mut self, mut file: FileState, outcome: &Result<Split, SplitError>) {
        let envelopes = file.doubtful.iter().any(|r| r.reason == Reason::UnknownEnvelope.as_str());
        if file.recognised || envelopes {
            self.settle(&mut file);
            if let Err(error) = outcome {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                let message = [Some(error.to_string()), cause].into_iter().flatten();
                let hint = "what came before it was kept; fetch the file again and import it anew";
                self.problem(&file.source, message.collect::<Vec<_>>().join(": "), Some(hint));
            }
            return;
        }
        let reason = match outcome {
            Ok(Split::Empty) => "empty",
            Ok(Split::Whole) if file.doubtful.is_empty() => return,
            Ok(Split::Whole | Split::Stopped) => "JSON of no known format",
            Ok(Split::Unknown) => "neither JSON nor a known text log",
            Err(_) => "cannot be read",
        };
        let (named, file) = (file.named, file.source.to_string());
        self.imported.unrecognised.push(Unrecognised { file, named, reason });
    }

    /// Quarantines what was in doubt, now that the file is known to be one of ours.
    fn settle(&mut self, file: &mut FileState) {
        for record in std::mem::take(&mut file.doubtful) {
            self.imported.records += 1;
            self.quarantine(record);
        }
    }

    fn quarantine(&mut self, record: Quarantined) {
        self.imported.quarantined += 1;
        self.part_bytes += record.raw.len();
        self.part.quarantine.push(record);
        self.flush_if_full();
    }

    fn problem(&mut self, file: &str, message: String, hint: Option<&str>) {
        let hint = hint.map(str::to_owned);
        self.imported.problems.push(Problem { file: file.to_owned(), message, hint });
    }

    fn flush_if_full(&mut self) {
        let events = PART_EVENTS.min(self.job.events_a_page());
        if self.part.events.len() >= events || self.part_bytes >= PART_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let (page, bytes) = (std::mem::take(&mut self.part), std::mem::take(&mut self.part_bytes));
        if !page.events.is_empty() {
            self.room = std::mem::take(&mut self.room).after(page.events.room());
        }
        if self.open && !page.is_empty() {
            self.open = (self.take)(Yield::Part(page, bytes));
        }
    }
}

impl FileState {
    fn doubt(&mut self, doubt: &Doubt<'_>) {
        let record = self.quarantined(doubt);
        self.doubtful.push(record);
    }

    fn quarantined(&self, doubt: &Doubt<'_>) -> Quarantined {
        let Doubt { reason, detail, place, text, format } = doubt;
        let end = text.floor_char_boundary(QUARANTINE_BYTES.min(text.len()));
        Quarantined {
            source: self.source.to_string(),
            place: (*place).to_owned(),
            format: format.map(|format| format.as_str().to_owned()),
            reason: reason.as_str().to_owned(),
            message: (*detail).to_owned(),
            raw: text.get(..end).unwrap_or_default().to_owned(),
        }
    }
}

/// Whether a path ends like a trail's log files:
/// `<account>_CloudTrail_<region>_<time>Z_<unique>.json.gz`, or without `.gz`.
fn is_trail_log(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let Some(name) = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".json") else {
        return false;
    };
    let Some((account, rest)) = name.split_once("_CloudTrail_") else { return false };
    let parts: Vec<&str> = rest.split('_').collect();
    let [_, time, _] = parts.as_slice() else { return false };
    account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && time.ends_with('Z')
}

/// Whether a broken piece shows that its file is a log of ours.
fn seems_ours(text: &str) -> bool {
    const MARKS: &[&str] = &[
        "\"eventSource\"",
        "\"eventVersion\"",
        "\"CloudTrailEvent\"",
        "\"protoPayload\"",
        "\"operationName\"",
        "usecs:",
    ];
    MARKS.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_file_is_that_of_all_its_bytes_however_they_are_taken() {
        let text = "{\"Records\":[]}\n".repeat(1000);
        let whole = Some(sha256_hex(text.as_bytes()));
        for taken in [0, 1, 7, 4096, text.len()] {
            let inner = io::BufReader::with_capacity(16, text.as_bytes());
            let mut bytes = Counted { inner, count: 0, hash: Some(Sha256::new()) };
            let mut left = taken;
            while left > 0 {
                let count = bytes.fill_buf().unwrap().len().min(left);
                bytes.consume(count);
                left -= count;
            }
            let mut three = [0; 3];
            let more = bytes.read(&mut three).unwrap();
            assert_eq!(bytes.count, u64::try_from(taken + more).unwrap());
            assert_eq!(bytes.file_read("x".to_owned()).map(|file| file.sha256), whole, "{taken}");
        }
        let unwanted = Counted { inner: text.as_bytes(), count: 0, hash: None };
        assert_eq!(unwanted.file_read("x".to_owned()), None);
    }

    #[test]
    fn log_files_of_a_trail_are_told_by_their_name() {
        let name = "111122223333_CloudTrail_eu-west-1_20260731T2002Z_eQtkrQMTLsl1HwcX.json";
        for (path, expected) in [
            (format!("AWSLogs/111122223333/CloudTrail/eu-west-1/{name}.gz"), true),
            (name.to_owned(), true),
            (format!("C:\\logs\\{name}.gz"), true),
            (format!("{name}.bak"), false),
            (name.replace("_CloudTrail_", "_CloudTrail-Digest_"), false),
            (name.replace("1111", "x111"), false),
            ("trail.json".to_owned(), false),
        ] {
            assert_eq!(is_trail_log(&path), expected, "{path}");
        }
    }
}
