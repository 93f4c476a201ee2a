//! Reads one object: whole, as a digest file, or the lines that are new in it.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use jiff::{Timestamp, ToSpan as _};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::Context;
use super::super::bucket::{Bucket, Failure, Listed, OBJECT_LIMIT, Object};
use super::super::source::Item;
use crate::event::to_hex;

/// How much of an object of lines is read at once.
pub(super) const CHUNK: u64 = 16 << 20;

/// What a whole object may have grown by since it was listed.
const SLACK: u64 = 1 << 20;

/// Unpacked bytes that are hashed of a log file, and that a digest file may have.
const HASHED_LIMIT: u64 = 8 << 30;
const DIGEST_LIMIT: u64 = 64 << 20;

/// A line that is still not whole so many hours after the object was last written will not be.
const SETTLED_HOURS: i64 = 12;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A file of records that is written once.
    Log,
    /// A file of lines that may grow: what is new in it is read.
    Lines,
    /// A digest file of CloudTrail.
    Digest,
}

/// An object to read.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) listed: Listed,
    pub(super) role: Role,
    pub(super) from: u64,
    pub(super) context: Arc<Context>,
    /// Reading it failed before.
    pub(super) owed: bool,
}

impl Task {
    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> u64 {
        match self.role {
            Role::Lines => self.listed.size.saturating_sub(self.from).min(CHUNK),
            Role::Log | Role::Digest => self.listed.size,
        }
    }
}

/// What reading an object gave.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) items: Vec<Item>,
    /// What the cursor says of it; `None` where nothing came of it yet.
    pub(super) entry: Option<Value>,
    /// Where the rest of it is to be read from.
    pub(super) rest: Option<u64>,
    /// What was odd about it.
    pub(super) odd: Option<String>,
}

/// Reads an object.
pub(super) async fn read(bucket: &Bucket, task: &Task, now: Timestamp) -> Result<Reading, Failure> {
    match task.role {
        Role::Log => Ok(log(bucket, task, &whole(bucket, task).await?)),
        Role::Digest => Ok(digest(bucket, task, &whole(bucket, task).await?)),
        Role::Lines => lines(bucket, task, now).await,
    }
}

async fn whole(bucket: &Bucket, task: &Task) -> Result<Object, Failure> {
    let limit = OBJECT_LIMIT.min(task.listed.size.saturating_add(SLACK));
    if task.listed.size > OBJECT_LIMIT {
        let size = task.listed.size;
        return Err(Failure::Object(format!("its {size} bytes are more than {OBJECT_LIMIT}")));
    }
    bucket.get(&task.listed.key, limit).await
}

fn object(bucket: &Bucket, task: &Task, content: Bytes) -> Item {
    Item::Object {
        address: bucket.address_of(&task.listed.key),
        content,
        context: Context::clone(&task.context),
    }
}

fn entry(task: &Task, more: (&str, Value)) -> Value {
    let Listed { key, size, etag, .. } = &task.listed;
    let mut entry = json!({ "key": key, "etag": etag, "size": size });
    if let Value::Object(members) = &mut entry {
        members.insert(more.0.to_owned(), more.1);
    }
    entry
}

fn log(bucket: &Bucket, task: &Task, got: &Object) -> Reading {
    let hash = hash_unpacked(&got.content);
    let odd = hash.is_none().then(|| "it cannot be unpacked to its end".to_owned());
    Reading {
        items: vec![object(bucket, task, got.content.clone())],
        entry: Some(entry(task, ("sha256", json!(hash)))),
        odd,
        ..Reading::default()
    }
}

/// A digest file becomes a proof, and its signature, which stands beside it, a second one.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>
fn digest(bucket: &Bucket, task: &Task, got: &Object) -> Reading {
    let Some(raw) = unpacked(&got.content).and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Reading {
            entry: Some(entry(task, ("sha256", Value::Null))),
            odd: Some("it cannot be unpacked to text: it proves nothing".to_owned()),
            ..Reading::default()
        };
    };
    let (address, hash) = (bucket.address_of(&task.listed.key), to_hex(&Sha256::digest(&raw)));
    let mut reading =
        Reading { entry: Some(entry(task, ("sha256", json!(hash)))), ..Reading::default() };
    let value = |name: &str| {
        let found = got.metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    reading.items.push(Item::Proof {
        address: address.clone(),
        kind: "cloudtrail_digest".to_owned(),
        raw,
    });
    match value("signature") {
        Some(signature) => reading.items.push(Item::Proof {
            kind: "cloudtrail_digest_signature".to_owned(),
            raw: json!({
                "digest": address, "sha256": hash, "signature": signature,
                "algorithm": value("signature-algorithm"),
                "backfill_generation_timestamp": value("backfill-generation-timestamp"),
            })
            .to_string(),
            address,
        }),
        None => reading.odd = Some("no signature stands beside it".to_owned()),
    }
    reading
}

async fn lines(bucket: &Bucket, task: &Task, now: Timestamp) -> Result<Reading, Failure> {
    let (key, size) = (task.listed.key.as_str(), task.listed.size);
    let settled = is_settled(task.listed.modified, now);
    let from = if task.from > size { 0 } else { task.from };
    if from == size {
        let done = (size > 0).then(|| entry(task, ("offset", json!(size))));
        return Ok(Reading { entry: done, ..Reading::default() });
    }
    let end = size.min(from.saturating_add(CHUNK));
    let part = bucket.get_range(key, from..end).await?.content;
    if from > 0 && !starts_line(&part) {
        let again = Task { from: 0, ..task.clone() };
        let mut reading = Box::pin(lines(bucket, &again, now)).await?;
        reading.odd = Some("it was replaced by other content: it was read again".to_owned());
        return Ok(reading);
    }
    if from == 0 && is_one_value(&part) {
        let content = if end == size { part } else { whole(bucket, task).await?.content };
        return Ok(one_value(bucket, task, content, settled));
    }
    let kept = whole_lines(&part, end == size, settled);
    if kept == 0 {
        let long = (end < size).then(|| format!("a line of it has more than {CHUNK} bytes"));
        return long.map_or_else(|| Ok(Reading::default()), |why| Err(Failure::Object(why)));
    }
    let reached = from.saturating_add(u64::try_from(kept).unwrap_or_default());
    let replaced = task.from > size;
    Ok(Reading {
        items: vec![object(bucket, task, part.slice(..kept))],
        entry: Some(entry(task, ("offset", json!(reached)))),
        rest: (end < size).then_some(reached),
        odd: replaced.then(|| "it is shorter than it was: it was read again".to_owned()),
    })
}

/// An object that is one JSON value is read whole whenever it changes, once it is whole.
fn one_value(bucket: &Bucket, task: &Task, content: Bytes, settled: bool) -> Reading {
    if !settled && !is_gzip(&content) && !is_json(&content) {
        return Reading::default();
    }
    let hash = hash_unpacked(&content);
    Reading {
        items: vec![object(bucket, task, content)],
        entry: Some(entry(task, ("sha256", json!(hash)))),
        ..Reading::default()
    }
}

fn is_settled(modified: Timestamp, now: Timestamp) -> bool {
    let limit = now.checked_sub(SETTLED_HOURS.hours());
    limit.is_ok_and(|limit| modified < limit)
}

/// How many bytes of `part` are whole lines. A last line without its break counts if it is a whole
/// value, or will not be any more.
fn whole_lines(part: &[u8], at_end: bool, settled: bool) -> usize {
    let broken = memchr::memrchr(b'\n', part).map_or(0, |at| at + 1);
    let tail = part.get(broken..).unwrap_or_default();
    if at_end && (settled || is_json(tail)) { part.len() } else { broken }
}

/// Whether it is one JSON value: an array, a wrapper `{"records":[…]}`, or packed.
fn is_one_value(part: &[u8]) -> bool {
    let text = trimmed(part.strip_prefix(b"\xef\xbb\xbf").unwrap_or(part));
    if is_gzip(part) || text.first() == Some(&b'[') {
        return true;
    }
    let Some(inner) = text.strip_prefix(b"{") else { return false };
    let inner = trimmed(inner);
    let name = inner.get(..9).unwrap_or_default();
    let rest = trimmed(inner.get(9..).unwrap_or_default());
    name.eq_ignore_ascii_case(b"\"records\"")
        && rest.strip_prefix(b":").is_some_and(|rest| trimmed(rest).first() == Some(&b'['))
}

fn starts_line(part: &[u8]) -> bool {
    matches!(trimmed(part).first(), None | Some(b'{'))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// SHA-256 of what it unpacks to, as digest files give it: all of it, with anything that was
/// appended. `None` where it cannot be unpacked.
fn hash_unpacked(content: &[u8]) -> Option<String> {
    if !is_gzip(content) {
        return Some(to_hex(&Sha256::digest(content)));
    }
    let mut reader = MultiGzDecoder::new(content).take(HASHED_LIMIT);
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let count = reader.read(&mut buffer).ok()?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count)?);
    }
    (reader.limit() > 0).then(|| to_hex(&hasher.finalize()))
}

fn unpacked(content: &[u8]) -> Option<Vec<u8>> {
    if !is_gzip(content) {
        return Some(content.to_vec());
    }
    let mut reader = MultiGzDecoder::new(content).take(DIGEST_LIMIT);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).ok()?;
    (reader.limit() > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_file_is_cut_at_its_last_whole_line() {
        assert_eq!(whole_lines(b"{\"a\":1}\n{\"b\"", true, false), 8);
        assert_eq!(whole_lines(b"{\"a\":1}\n{\"b\":2}", true, false), 15);
        assert_eq!(whole_lines(b"{\"a\":1}\n{\"b\":2}", false, false), 8);
        assert_eq!(whole_lines(b"{\"a\":1}\n{\"b\"", true, true), 12);
        assert_eq!(whole_lines(b"{\"a\":1}\r\n", true, false), 9);
        assert_eq!(whole_lines(b"{\"a\"", true, false), 0);
    }

    #[test]
    fn arrays_wrappers_and_packed_files_are_one_value_and_lines_are_not() {
        let yes: [&[u8]; 5] =
            [b" [{}]", b"{\"records\":[", b"\xef\xbb\xbf{ \"Records\" : [", b"\x1f\x8b\x08", b"["];
        let no: [&[u8]; 4] = [b"{\"time\":1}", b"{\"records\":1}", b"{", b""];
        assert!(yes.iter().all(|part| is_one_value(part)));
        assert!(!no.iter().any(|part| is_one_value(part)));
    }

    #[test]
    fn the_hash_is_that_of_the_unpacked_bytes_with_all_members() {
        let pack = |text: &[u8]| {
            use std::io::Write as _;
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(text).unwrap();
            gz.finish().unwrap()
        };
        let (one, two) = (pack(b"one"), pack(b"two"));
        assert_eq!(hash_unpacked(&one), Some(to_hex(&Sha256::digest(b"one"))));
        assert_eq!(
            hash_unpacked(&[one.clone(), two].concat()),
            Some(to_hex(&Sha256::digest(b"onetwo")))
        );
        assert_eq!(hash_unpacked(&one[..one.len() - 3]), None);
        assert_eq!(unpacked(&one).as_deref(), Some(b"one".as_slice()));
    }
}
