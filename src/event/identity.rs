//! Identity of an event: its id, and the hash under which it enters the ledger.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::canonical_value;

/// SHA-256 of `bytes` in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

/// The id of a record whose provider gives none: SHA-256 of its canonical JSON (RFC 8785), or of
/// the trimmed text where it is not JSON, so that spacing and key order do not matter.
pub fn content_id(raw: &str) -> String {
    match serde_json::from_str::<Value>(raw) {
        Ok(value) => sha256_hex(canonical_value(&value).as_bytes()),
        Err(_) => sha256_hex(raw.trim().as_bytes()),
    }
}

/// The id under which a record is kept that came with the id of another record but other content:
/// `<id>~<first 8 hex digits of the content id>`.
pub fn variant_id(event_id: &str, raw: &str) -> String {
    let content = content_id(raw);
    format!("{event_id}~{}", content.get(..8).unwrap_or(&content))
}

/// The RFC 6962 leaf hash of an event: SHA-256 over `0x00` and the entry
/// `keytrail-leaf/v1\n<ledger>\n<event_id>\n<hex SHA-256 of raw>\n`. It holds only the digest of
/// the raw bytes, so that they can be dropped under retention while proofs still hold.
pub fn leaf_hash(ledger: &str, event_id: &str, raw: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([0u8]);
    hasher.update(b"keytrail-leaf/v1\n");
    let content: [u8; 32] = Sha256::digest(raw.as_bytes()).into();
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(content) {
        pair.copy_from_slice(&digits_of(byte));
    }
    for part in [ledger.as_bytes(), event_id.as_bytes(), &digits] {
        hasher.update(part);
        hasher.update(b"\n");
    }
    hasher.finalize().into()
}

/// Bytes in lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().flat_map(|byte| digits_of(*byte)).map(char::from));
    text
}

/// The two digits of a byte.
fn digits_of(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    [digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_is_the_known_one() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn spacing_and_key_order_do_not_change_a_content_id() {
        assert_eq!(content_id(r#"{"a":1,"b":[2]}"#), content_id("{ \"b\": [2],\n\"a\": 1 }"));
        assert_ne!(content_id(r#"{"a":1}"#), content_id(r#"{"a":2}"#));
        assert_eq!(content_id(" Time: x \n"), content_id("Time: x"));
    }

    #[test]
    fn a_leaf_is_the_hash_of_its_entry_as_documented() {
        let content = sha256_hex("{\"ü\":0}".as_bytes());
        let entry = format!("\0keytrail-leaf/v1\naws/1\naws/1|x\n{content}\n");
        let expected: [u8; 32] = Sha256::digest(entry.as_bytes()).into();
        assert_eq!(leaf_hash("aws/1", "aws/1|x", "{\"ü\":0}"), expected);
        assert_eq!(to_hex(&[0, 9, 10, 0x5f, 0xff]), "00090a5fff");
    }

    #[test]
    fn a_leaf_depends_on_ledger_id_and_raw_bytes() {
        let leaf = leaf_hash("aws/1", "aws/1|x", "{}");
        assert_eq!(leaf, leaf_hash("aws/1", "aws/1|x", "{}"));
        assert_ne!(leaf, leaf_hash("aws/2", "aws/1|x", "{}"));
        assert_ne!(leaf, leaf_hash("aws/1", "aws/1|y", "{}"));
        assert_ne!(leaf, leaf_hash("aws/1", "aws/1|x", "{ }"));
    }
}
