//! How long it takes.

use std::env;
use std::time::{Duration, Instant};

use keytrail::verify::result::Level;
use keytrail::verify::wire::{Attribute, Request};

use crate::fixture::{Raw, Token, rows, softhsm};

#[test]
fn a_drill_takes_no_more_than_five_seconds() {
    let Some(token) = softhsm() else { return };
    let begun = Instant::now();
    let document = token.verify(Level::Drill);
    let elapsed = begun.elapsed();
    eprintln!("a drill took {elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}\n{}", rows(&document));
}

/// Makes many AES keys on a token.
fn fill(token: &Token, count: u32) {
    let mut raw = Raw::enter(token);
    let session = raw.session;
    for number in 0..count {
        let template = vec![
            Attribute::number(0x0, 4),
            Attribute::number(0x100, 0x1f),
            Attribute::flag(0x1, true),
            Attribute::bytes(0x3, format!("key {number}").as_bytes()),
            Attribute::bytes(0x102, &number.to_be_bytes()),
            Attribute::flag(0x103, true),
            Attribute::flag(0x162, false),
            Attribute::bytes(0x11, &[7; 32]),
        ];
        raw.ask(&Request::Create { session, template });
    }
    raw.leave();
}

#[test]
fn an_inventory_of_many_keys_is_quick() {
    let Some(token) = softhsm() else { return };
    let many = if env::var_os("KEYTRAIL_SOAK").is_some() { 10_000 } else { 500 };
    let begun = Instant::now();
    fill(&token, many);
    let filled = begun.elapsed();
    let begun = Instant::now();
    let document = token.verify(Level::Inventory);
    let elapsed = begun.elapsed();
    eprintln!("{many} keys were made in {filled:?} and read in {elapsed:?}");
    assert_eq!(document.keys.len(), usize::try_from(many).unwrap());
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}
