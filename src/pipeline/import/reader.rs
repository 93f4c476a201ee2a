//! Reading files: each is cut into items, each item translated, and pages are sent on when full.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use super::{Import, Imported, Message, Problem, Scope, Sender, Unrecognised, declared, kind_of};
use crate::event::{Format, sha256_hex};
use crate::provider::file::{Class, Input, Item, Piece, Split, SplitError, Wrapper, classify};
use crate::provider::file::{open, split};
use crate::provider::inventory::{InventoryContext, InventoryKind};
use crate::provider::{Context, Mapped, Reason, Reject, inventory_rows, key_hint, normalize};
use crate::store::{Page, PendingEvent, Quarantined, Receipt, Snapshot};

/// A page is sent when it holds this many events, or this many bytes.
const PAGE_EVENTS: usize = 32_768;
const PAGE_BYTES: usize = 48 << 20;

/// How much of a quarantined record is kept.
const QUARANTINE_BYTES: usize = 64 << 10;

/// Reads all inputs in order and sends their pages; what is returned lacks the counts that only
/// the store knows.
pub(super) fn read(job: &Import, inputs: &[Input], sender: &Sender) -> Imported {
    let mut reader = Reader {
        job,
        sender,
        page: Page::default(),
        page_bytes: 0,
        met: BTreeSet::new(),
        imported: Imported::default(),
        open: true,
    };
    for (index, input) in inputs.iter().enumerate() {
        reader.file(input);
        let records = reader.imported.records;
        reader.open &= sender.send(Message::FileDone { index, records });
        if !reader.open {
            break;
        }
    }
    let receipts = declared(job, &reader.met);
    reader.page.receipts.extend(receipts);
    reader.page.receipts.push(counts(job, &reader.imported));
    reader.flush();
    reader.imported
}

/// The receipt of an import: what was read. It goes with the last page, and alone makes no commit.
fn counts(job: &Import, imported: &Imported) -> Receipt {
    let paths: Vec<String> = job.paths.iter().map(|path| path.display().to_string()).collect();
    let content = serde_json::json!({
        "paths": paths,
        "files": imported.files,
        "unrecognised_files": imported.unrecognised.len(),
        "records": imported.records,
        "irrelevant": imported.irrelevant,
        "quarantined": imported.quarantined,
        "inventory": imported.inventory,
        "proofs": imported.proofs,
        "bytes_read": imported.bytes_read,
    });
    Receipt::Source { source: "import".to_owned(), content }
}

struct Reader<'a> {
    job: &'a Import,
    sender: &'a Sender,
    page: Page,
    page_bytes: usize,
    met: BTreeSet<Scope>,
    imported: Imported,
    /// Whether the store still takes pages.
    open: bool,
}

/// What is known of the file being read.
struct FileState {
    source: String,
    named: bool,
    context: Context,
    inventory: InventoryContext,
    /// Whether something in it was of a known format.
    recognised: bool,
    /// What was not, until it is known whether the file is one of ours.
    doubtful: Vec<Quarantined>,
}

/// A reader that counts what was taken from it.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.count += u64::try_from(count).unwrap_or(0);
    }
}

/// A record and what is known about it.
struct Found<'a> {
    format: Format,
    raw: String,
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

impl Reader<'_> {
    fn file(&mut self, input: &Input) {
        self.imported.files += 1;
        let source = input.name();
        let job = self.job;
        let mut file = FileState {
            named: input.is_named(),
            context: job.origin.context(&source),
            inventory: InventoryContext {
                account: job.origin.account.clone(),
                region: job.origin.region.clone(),
                key_hint: job.key.clone().or_else(|| key_hint(&source)),
            },
            source,
            recognised: false,
            doubtful: Vec::new(),
        };
        let outcome = match open(input, job.limits.file_bytes) {
            Ok(bytes) => {
                let mut bytes = Counted { inner: bytes, count: 0 };
                let outcome =
                    split(&mut bytes, &job.limits, &mut |piece| self.piece(piece, &mut file));
                self.imported.bytes_read += bytes.count;
                outcome
            }
            Err(error) => {
                let message = format!("{error}: {}", error.source);
                self.problem(&file.source, message, None);
                return;
            }
        };
        self.end(file, &outcome);
    }

    /// Takes one piece of a file; whether to go on.
    fn piece(&mut self, piece: Piece<'_>, file: &mut FileState) -> bool {
        match piece {
            Piece::Json { text, place, wrapper } => {
                self.item(text, wrapper, &place.to_string(), file);
            }
            Piece::Text { text, place } => {
                self.item(text, &Wrapper::default(), &place.to_string(), file);
            }
            Piece::Cut { text, place, reason, detail } => {
                file.recognised |= seems_ours(&text);
                let place = place.to_string();
                file.doubt(&Doubt {
                    reason,
                    detail: &detail,
                    place: &place,
                    text: &text,
                    format: None,
                });
            }
        }
        if file.recognised {
            self.settle(file);
        }
        self.open && file.doubtful.len() < self.job.limits.unknown_items
    }

    fn item(&mut self, text: &str, wrapper: &Wrapper, place: &str, file: &mut FileState) {
        let context = file.context.clone();
        match classify(Item { text, wrapper, context: &context }) {
            Class::Record { format, raw, transport, context } => {
                file.recognised = true;
                let raw = raw.into_owned();
                self.record(Found { format, raw, transport, context: &context }, place, file);
            }
            Class::Inventory(kind, value) => {
                file.recognised = true;
                self.inventory(kind, &value, text, file);
            }
            Class::Digest => {
                file.recognised = true;
                self.imported.proofs += 1;
                let (source, raw) = (file.source.clone(), text.to_owned());
                let kind = "cloudtrail_digest".to_owned();
                self.page.receipts.push(Receipt::Proof { source, kind, raw });
            }
            Class::Envelope(format) => {
                let detail = "a record inside a wrapper that is not known";
                let (reason, format) = (Reason::UnknownEnvelope, Some(format));
                file.doubt(&Doubt { reason, detail, place, text, format });
            }
            Class::Broken(detail) => {
                let (reason, detail) = (Reason::BadJson, detail.as_str());
                file.doubt(&Doubt { reason, detail, place, text, format: None });
            }
            Class::Unknown => {
                let (reason, detail) = (Reason::UnknownFormat, "of no known format");
                file.doubt(&Doubt { reason, detail, place, text, format: None });
            }
        }
    }

    fn record(&mut self, found: Found<'_>, place: &str, file: &FileState) {
        let Found { format, raw, transport, context } = found;
        self.imported.records += 1;
        match normalize(format, &raw, context) {
            Ok(Mapped::Irrelevant) => self.imported.irrelevant += 1,
            Ok(Mapped::Event(event)) => {
                self.met.insert(kind_of(&event));
                self.page_bytes += raw.len();
                let source = file.source.clone();
                self.page.events.push(PendingEvent { event: *event, raw, transport, source });
                self.flush_if_full();
            }
            Err(Reject { reason, detail }) => {
                let (detail, text, format) = (detail.as_str(), raw.as_str(), Some(format));
                self.quarantine(file.quarantined(&Doubt { reason, detail, place, text, format }));
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
                self.page_bytes += text.len();
                self.page.snapshots.push(Snapshot {
                    source: file.source.clone(),
                    digest: sha256_hex(text.as_bytes()),
                    captured_at: self.job.captured_at,
                    inventory,
                });
                self.flush_if_full();
            }
            Err(reject) => {
                let hint = "give what the document does not say: --account, --region, --key";
                self.problem(
                    &file.source,
                    format!("inventory left out: {}", reject.detail),
                    Some(hint),
                );
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
        self.imported.unrecognised.push(Unrecognised {
            file: file.source,
            named: file.named,
            reason,
        });
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
        self.page_bytes += record.raw.len();
        self.page.quarantine.push(record);
        self.flush_if_full();
    }

    fn problem(&mut self, file: &str, message: String, hint: Option<&str>) {
        self.imported.problems.push(Problem {
            file: file.to_owned(),
            message,
            hint: hint.map(str::to_owned),
        });
    }

    fn flush_if_full(&mut self) {
        if self.page.events.len() >= PAGE_EVENTS || self.page_bytes >= PAGE_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let page = std::mem::take(&mut self.page);
        self.page_bytes = 0;
        if !page.is_empty() {
            self.open &= self.sender.send(Message::Page(page));
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
            source: self.source.clone(),
            place: (*place).to_owned(),
            format: format.map(|format| format.as_str().to_owned()),
            reason: reason.as_str().to_owned(),
            message: (*detail).to_owned(),
            raw: text.get(..end).unwrap_or_default().to_owned(),
        }
    }
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
