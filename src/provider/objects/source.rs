//! The source: lists the folders of its window, oldest day first, and reads what is new in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::super::bucket::{Bucket, Failure, Listed};
use super::super::http::Counts;
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Window};
use super::day;
use super::past::{Days, Past, Reach, Verdict};
use super::read::{Reading, Task, read};
use super::{Layout, Place};
use crate::event::Provider;

/// How many objects are read at once, and how many objects and bytes make a batch.
const AT_ONCE: usize = 16;
const BATCH_OBJECTS: usize = 256;
const BATCH_BYTES: u64 = 16 << 20;

/// How many objects are told of one by one in a run.
const TOLD: usize = 20;

/// What an [`ObjectSource`] is made of.
pub struct Plan {
    /// Its configured name.
    pub name: String,
    /// Its bucket.
    pub bucket: Bucket,
    /// Where logs lie in it.
    pub layout: Box<dyn Layout>,
    /// How far back it reads.
    pub reach: Reach,
    /// What it asked so far.
    pub counts: Arc<Counts>,
}

/// A source of objects.
pub struct ObjectSource {
    plan: Plan,
    past: Past,
    window: Option<(Days, Timestamp)>,
    folders: Option<VecDeque<Folder>>,
    open: Option<Open>,
    waiting: VecDeque<Task>,
    tally: Tally,
    halted: Option<SourceError>,
}

/// A folder of one day of a place.
#[derive(Debug)]
struct Folder {
    day: Date,
    prefix: String,
    place: Arc<Place>,
}

/// The folder that is being listed.
struct Open {
    folder: Folder,
    objects: BoxStream<'static, Result<Listed, SourceError>>,
    owed: BTreeSet<String>,
}

/// What a run has met.
#[derive(Debug, Default)]
struct Tally {
    notes: Vec<Note>,
    listed: usize,
    read: usize,
    failed: usize,
    told: usize,
    ignored: Option<(usize, String)>,
    lost: Vec<String>,
    reached: Option<Date>,
    /// Why there are no places has been told.
    explained: bool,
    /// How far each place has been listed, and whether all of it could be.
    places: BTreeMap<String, bool>,
    closed: bool,
}

impl ObjectSource {
    /// Makes a source.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            past: Past::default(),
            window: None,
            folders: None,
            open: None,
            waiting: VecDeque::new(),
            tally: Tally::default(),
            halted: None,
        }
    }

    /// Finds the places, and the folders of their wanted days, by day: a kill loses little then.
    async fn find(&mut self, days: &Days) -> Result<(), SourceError> {
        let found = self.plan.layout.places(&self.plan.bucket).await;
        let found = found.map_err(|error| self.absent(error))?;
        self.tally.explained = found.places.is_empty() && !found.notes.is_empty();
        self.tally.notes.extend(found.notes);
        if self.past.is_empty() && !found.places.is_empty() {
            self.tally.notes.push(self.plan.layout.caveat(&self.plan.bucket));
        }
        let mut folders = Vec::new();
        for place in found.places.into_iter().map(Arc::new) {
            let first = self.past.first_day(&place.prefix, days);
            let owed = self.past.owed_days(&place.prefix, first);
            for day in owed.into_iter().chain(day::all(first, days.last())) {
                let prefix = format!("{}/{}", place.prefix, place.days.folder(day));
                folders.push(Folder { day, prefix, place: Arc::clone(&place) });
            }
            self.tally.places.insert(place.prefix.clone(), true);
        }
        folders.sort_by(|a, b| (a.day, &a.prefix).cmp(&(b.day, &b.prefix)));
        self.folders = Some(folders.into());
        Ok(())
    }

    /// What it means that a listing is not found.
    fn absent(&self, error: SourceError) -> SourceError {
        match error {
            SourceError::Answer { status: 404, .. } => SourceError::config(
                format!("{} does not exist", self.plan.bucket.address()),
                "check its name, and that it is in the account that the credentials are of",
            ),
            other => other,
        }
    }

    /// Gathers the objects of the next batch.
    async fn gather(&mut self) -> Result<Vec<Task>, SourceError> {
        let (mut tasks, mut bytes) = (Vec::new(), 0_u64);
        while tasks.len() < BATCH_OBJECTS && bytes < BATCH_BYTES {
            let Some(task) = self.next_task().await? else { break };
            if !tasks.is_empty() && bytes.saturating_add(task.weight()) > BATCH_BYTES {
                self.waiting.push_front(task);
                break;
            }
            bytes = bytes.saturating_add(task.weight());
            tasks.push(task);
        }
        Ok(tasks)
    }

    async fn next_task(&mut self) -> Result<Option<Task>, SourceError> {
        if let Some(task) = self.waiting.pop_front() {
            return Ok(Some(task));
        }
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { continue };
            match open.objects.next().await {
                Some(Ok(object)) => {
                    if let Some(task) = self.judge(object) {
                        return Ok(Some(task));
                    }
                }
                Some(Err(error @ SourceError::Content { .. })) => self.skip_rest(&error),
                Some(Err(error)) => return Err(self.absent(error)),
                None => self.close(),
            }
        }
    }

    fn open_next(&mut self) -> Result<bool, SourceError> {
        let Some(folder) = self.folders.as_mut().and_then(VecDeque::pop_front) else {
            return Ok(false);
        };
        let objects = self.plan.bucket.list(&folder.prefix)?;
        let owed = self.past.owed_below(&folder.prefix).into_iter().collect();
        self.tally.reached = Some(folder.day);
        self.open = Some(Open { folder, objects, owed });
        Ok(true)
    }

    /// What to read of a listed object.
    fn judge(&mut self, listed: Listed) -> Option<Task> {
        let open = self.open.as_mut()?;
        open.owed.remove(&listed.key);
        let place = &open.folder.place;
        let name = listed.key.rsplit('/').next().unwrap_or_default();
        if !self.plan.layout.is_file(place.role, name) {
            // A marker of the folder itself, which some tools leave, is nothing to tell of.
            if listed.key != open.folder.prefix && listed.size > 0 {
                let (count, _) = self.tally.ignored.get_or_insert_with(|| (0, listed.key.clone()));
                *count += 1;
            }
            return None;
        }
        self.tally.listed += 1;
        let from = match self.past.verdict(&listed) {
            Verdict::Seen => return None,
            Verdict::New => 0,
            Verdict::From(offset) => offset,
        };
        let owed = self.past.owes(&listed.key);
        let context = Arc::new(place.context.clone());
        Some(Task { listed, role: place.role, from, context, owed })
    }

    /// The rest of a folder cannot be listed: the others can.
    fn skip_rest(&mut self, error: &SourceError) {
        if let Some(open) = self.open.take() {
            self.tally.places.insert(open.folder.place.prefix.clone(), false);
            self.tally.notes.push(Note {
                message: format!("{error}: what lies behind it was not read"),
                hint: Some("remove or rename the object with that key".to_owned()),
            });
        }
    }

    /// A folder was listed to its end: an object that is owed and not in it any more is lost.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        for key in open.owed {
            self.tally.notes.push(Note {
                message: format!(
                    "{} was deleted before it could be read",
                    self.plan.bucket.address_of(&key)
                ),
                hint: Some("restore it, or import a copy: its records are missing".to_owned()),
            });
            self.past.settle(&key);
            self.tally.lost.push(key);
        }
    }

    async fn read_all(&mut self, tasks: Vec<Task>, now: Timestamp) -> Batch {
        let bucket = self.plan.bucket.clone();
        let outcomes: Vec<_> = stream::iter(tasks)
            .map(|task| {
                let bucket = bucket.clone();
                async move {
                    let outcome = read(&bucket, &task, now).await;
                    (task, outcome)
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let good = |(_, outcome): &(Task, Result<Reading, Failure>)| outcome.is_ok();
        let any_read = self.tally.read > 0 || outcomes.iter().any(good);
        let (mut batch, mut cursor) = (Batch::default(), Cursor::default());
        for (task, outcome) in outcomes {
            match outcome {
                Ok(reading) => self.take(task, reading, &mut batch, &mut cursor),
                Err(Failure::Object(why)) => self.owe(&task, &why, &mut cursor),
                Err(Failure::Denied(error)) if any_read || task.owed => {
                    self.owe(&task, &error.to_string(), &mut cursor);
                }
                Err(Failure::Denied(error) | Failure::Source(error)) => {
                    self.halted = Some(error);
                    break;
                }
            }
        }
        cursor.lost = std::mem::take(&mut self.tally.lost);
        batch.cursor = cursor.into_value();
        batch
    }

    fn take(&mut self, mut task: Task, reading: Reading, batch: &mut Batch, cursor: &mut Cursor) {
        self.tally.read += 1;
        if reading.entry.is_some() {
            self.past.settle(&task.listed.key);
        }
        if let Some(odd) = &reading.odd {
            self.tell(&task, odd);
        }
        for item in reading.items {
            self.hand_on(item, batch);
        }
        cursor.objects.extend(reading.entry);
        if let Some(from) = reading.rest {
            task.from = from;
            self.waiting.push_back(task);
        }
    }

    fn hand_on(&self, item: Item, batch: &mut Batch) {
        let Item::Object { address, content, context } = item else {
            return batch.items.push(item);
        };
        let parted = self.plan.layout.put_together(&content, &context);
        let (content, records) = parted.unwrap_or((content, Vec::new()));
        batch.items.push(Item::Object { address, content, context });
        batch.items.extend(records);
    }

    /// Tells of an object that was not read, and keeps it in mind.
    fn owe(&mut self, task: &Task, why: &str, cursor: &mut Cursor) {
        self.tell(task, &format!("{why}; it is tried again next time"));
        self.tally.failed += 1;
        self.past.owe(&task.listed.key);
        if !task.owed {
            cursor.failed.push(task.listed.key.clone());
        }
    }

    fn tell(&mut self, task: &Task, what: &str) {
        let address = self.plan.bucket.address_of(&task.listed.key);
        self.tally.told += 1;
        if self.tally.told <= TOLD {
            let message = format!("{}: {what}", address.escape_debug());
            self.tally.notes.push(Note { message, hint: None });
        }
    }

    /// The last batch: how far each place was listed, and what is left to tell.
    fn finish(&mut self, days: &Days) -> Option<Batch> {
        if std::mem::replace(&mut self.tally.closed, true) {
            return None;
        }
        let lost = std::mem::take(&mut self.tally.lost);
        let mut cursor = Cursor { lost, owed: self.past.owed_anew(), ..Cursor::default() };
        for (place, whole) in std::mem::take(&mut self.tally.places) {
            if whole && self.past.is_due(&place, days.last()) {
                cursor.listed.push(json!({ "place": place, "until": days.last().to_string() }));
            }
        }
        self.tell_the_rest();
        let mut batch = Batch { cursor: cursor.into_value(), ..Batch::default() };
        self.dress(&mut batch);
        (batch.cursor.is_some() || !batch.notes.is_empty()).then_some(batch)
    }

    fn tell_the_rest(&mut self) {
        let address = self.plan.bucket.address();
        let mut note = |message: String, hint: &str| {
            self.tally.notes.push(Note { message, hint: Some(hint.to_owned()) });
        };
        if let Some((count, first)) = self.tally.ignored.take() {
            let message = format!(
                "{count} objects in {address} are no log files by their names, such as {first:?}: they were not read"
            );
            note(message, "if they hold records, import them");
        }
        if self.tally.told > TOLD {
            let (told, failed) = (self.tally.told, self.tally.failed);
            let message =
                format!("{told} objects in {address} were odd; {failed} of them were not read");
            note(message, "those that were not read are tried again next time");
        }
        if self.tally.listed == 0 && self.past.is_empty() && !self.tally.explained {
            let message = format!(
                "there are no log files in {address} in the days that were looked at: nothing was read"
            );
            note(message, "check bucket, prefix and that something delivers logs there");
        }
    }

    /// Adds what is to be told.
    fn dress(&mut self, batch: &mut Batch) {
        batch.notes = std::mem::take(&mut self.tally.notes);
        batch.reached = self.tally.reached.and_then(day::end);
        if let (Some(reached), Some((_, now))) = (&mut batch.reached, &self.window) {
            *reached = (*reached).min(*now);
        }
    }
}

/// What a batch adds to what was seen.
#[derive(Debug, Default)]
struct Cursor {
    objects: Vec<Value>,
    failed: Vec<String>,
    lost: Vec<String>,
    listed: Vec<Value>,
    owed: Option<Vec<String>>,
}

impl Cursor {
    fn into_value(self) -> Option<Value> {
        let lists = [
            ("objects", self.objects),
            ("failed", keys(self.failed)),
            ("lost", keys(self.lost)),
            ("listed", self.listed),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        // That nothing is owed any more is said, too.
        let owed = self.owed.map(|owed| ("owed", keys(owed)));
        let members: serde_json::Map<_, _> =
            lists.chain(owed).map(|(name, list)| (name.to_owned(), list.into())).collect();
        (!members.is_empty()).then(|| members.into())
    }
}

fn keys(keys: Vec<String>) -> Vec<Value> {
    keys.into_iter().map(Value::from).collect()
}

#[async_trait]
impl Source for ObjectSource {
    fn name(&self) -> &str {
        &self.plan.name
    }

    fn provider(&self) -> Provider {
        self.plan.layout.provider()
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.plan.counts)
    }

    fn sum_up(&self, history: &History) -> Vec<Value> {
        Past::sum_up(history)
    }

    fn start(&mut self, history: &History, window: Window) {
        let days = Days::new(window, self.plan.reach);
        self.past = Past::new(history, &days);
        self.window = Some((days, window.now));
        self.folders = None;
        self.open = None;
        self.waiting.clear();
        self.tally = Tally::default();
        self.halted = None;
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some((days, now)) = self.window else { return Ok(None) };
        if self.folders.is_none() {
            self.find(&days).await?;
        }
        loop {
            if let Some(error) = self.halted.take() {
                return Err(error);
            }
            let tasks = self.gather().await?;
            if tasks.is_empty() {
                return Ok(self.finish(&days));
            }
            let mut batch = self.read_all(tasks, now).await;
            if !batch.items.is_empty() || batch.cursor.is_some() {
                self.dress(&mut batch);
                return Ok(Some(batch));
            }
        }
    }
}
