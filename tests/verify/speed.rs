//! How long it takes: told by `make bench`, never judged by a test.

use std::env;
use std::time::Instant;

use keytrail::verify::result::Level;
use keytrail::verify::wire::{Attribute, Request};

use crate::fixture::{Raw, Token, rows, softhsm};

#[test]
fn a_drill_makes_its_checks_on_an_empty_token() {
    let Some(token) = softhsm() else { return };
    let begun = Instant::now();
    let document = token.verify(Level::Drill);
    let elapsed = begun.elapsed();
    let made = document.checks.len();
    eprintln!("a drill of {made} checks took {elapsed:?}");
    assert!(document.summary.pass > 30, "{}", rows(&document));
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
fn an_inventory_of_more_keys_than_one_request_reads_has_each_of_them() {
    let Some(token) = softhsm() else { return };
    let many = if env::var_os("KEYTRAIL_SOAK").is_some() { 10_000 } else { 600 };
    let begun = Instant::now();
    fill(&token, many);
    let filled = begun.elapsed();
    let begun = Instant::now();
    let document = token.verify(Level::Inventory);
    let elapsed = begun.elapsed();
    eprintln!("{many} keys were made in {filled:?} and read in {elapsed:?}");
    assert_eq!(document.keys.len(), usize::try_from(many).unwrap());
}
