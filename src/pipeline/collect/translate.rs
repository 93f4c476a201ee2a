//! The items of a batch translated, by a thread of its own, in parts that are small whatever the batch
//! holds: while one page is committed, the next is read.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use crate::event::sha256_hex;
use crate::pipeline::import::{Fetched, Import, Imported, Yield, read_fetched};
use crate::provider::Context;
use crate::provider::source::Item;
use crate::store::{Page, Receipt, Snapshot};

/// How many parts may wait.
pub(super) const PARTS_AHEAD: usize = 4;

/// A part is sent on when it holds so many events or bytes.
const PART_EVENTS: usize = 1024;
const PART_BYTES: usize = 2 << 20;

/// Some of what is in a batch, with its size and what was counted.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) page: Page,
    pub(super) bytes: usize,
    pub(super) done: Imported,
}

/// Translates items in their order, and sends what comes of them; ends early when nobody takes it any
/// more.
pub(super) fn translate(items: Vec<Item>, source: &Arc<str>, sender: Sender<Part>) {
    let outlet = Outlet { sender, part: RefCell::default() };
    for item in items {
        if !outlet.item(source, item) {
            return;
        }
    }
    outlet.send();
}

/// Where parts go.
struct Outlet {
    sender: Sender<Part>,
    part: RefCell<Part>,
}

impl Outlet {
    /// Translates one item; whether to go on.
    fn item(&self, source: &Arc<str>, item: Item) -> bool {
        match item {
            Item::Record { format, raw, transport, context } => {
                let fetched = Fetched::Record { format, raw, transport };
                self.read(&Import::default(), (source, context), fetched)
            }
            Item::Object { address, content, context } => {
                let fetched = Fetched::Object(&content);
                self.read(&Import::default(), (&address.into(), context), fetched)
            }
            Item::Document { kind, value, context, captured_at } => {
                let job = Import { captured_at: Some(captured_at), ..Import::default() };
                let fetched = Fetched::Document(kind, &value, context);
                self.read(&job, (source, Context::default()), fetched)
            }
            Item::Inventory { subject, rows, captured_at } => {
                let digest = sha256_hex(format!("{subject}\n{rows:?}").as_bytes());
                let inventory = u64::try_from(rows.len()).unwrap_or(0);
                let snapshot = Snapshot {
                    source: subject,
                    digest,
                    captured_at: Some(captured_at),
                    inventory: rows,
                    verified: None,
                };
                let page = Page { snapshots: vec![snapshot], ..Page::default() };
                let done = Imported { inventory, ..Imported::default() };
                self.add(page, 0, done)
            }
            Item::Proof { address, kind, raw } => {
                let bytes = raw.len();
                let receipts = vec![Receipt::Proof { source: address, kind, raw }];
                let done = Imported { proofs: 1, ..Imported::default() };
                self.add(Page { receipts, ..Page::default() }, bytes, done)
            }
        }
    }

    fn read(&self, job: &Import, from: (&Arc<str>, Context), fetched: Fetched<'_>) -> bool {
        let open = RefCell::new(true);
        read_fetched(job, from, fetched, &|part| {
            let go_on = match part {
                Yield::Part(page, bytes) => self.add(page, bytes, Imported::default()),
                Yield::Done(done, _) => self.add(Page::default(), 0, done),
            };
            *open.borrow_mut() &= go_on;
            go_on
        });
        open.into_inner()
    }

    fn add(&self, page: Page, bytes: usize, done: Imported) -> bool {
        let mut part = self.part.borrow_mut();
        part.page.append(page);
        part.bytes += bytes;
        part.done.add(done);
        let is_full = part.page.events.len() >= PART_EVENTS || part.bytes >= PART_BYTES;
        drop(part);
        !is_full || self.send()
    }

    fn send(&self) -> bool {
        self.sender.blocking_send(self.part.take()).is_ok()
    }
}
