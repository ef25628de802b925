//! A disk that returns other data than was written. Data before the damage is delivered, the loss of the
//! rest is reported, and nothing else is affected (rules 10 and 16).

use std::fs;

use crate::common::Environment;
use crate::faults::lines::{assert_same, content};

const DATA: [&str; 2] = ["--data", "data"];

/// The length of several chunks, in bytes.
const MUCH: usize = 3_000_000;

/// Flips a bit of the byte at the beginning of `marker`, wherever `marker` is on the disk.
fn damage(environment: &Environment, marker: &[u8]) {
    let mut damaged = 0;
    for entry in fs::read_dir(environment.home().join("data")).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let Ok(mut bytes) = fs::read(&path) else {
            continue;
        };
        if let Some(at) = memchr::memmem::find(&bytes, marker) {
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("it can be written");
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "the marker is there once");
}

#[test]
fn rule_10_a_stream_is_delivered_up_to_the_damage_and_said_to_be_cut() {
    let mut sky = Environment::sky(&DATA);
    let marker = b"this byte is flipped on the disk\n";
    let (before, after) = (content(1, MUCH), content(2, MUCH));
    let damaged = [&before[..], marker, &after].concat();
    let whole = content(3, MUCH);
    sky.skypipe(&["-w", "damaged"]).fed(&damaged).printed("");
    sky.skypipe(&["-w", "whole"]).fed(&whole).printed("");
    sky.take_sky().kill();
    damage(&sky, marker);
    sky.restart_sky(&DATA);
    let outcome = sky.skypipe(&["-r", "damaged"]).done();
    let printed = outcome.told(3, "cut: the satellite's disk could not be read");
    // A chunk is intact or damaged as a whole.
    let least = before.len() - (1 << 20);
    assert!((least..=before.len()).contains(&printed.len()));
    assert_same(&printed, &damaged[..printed.len()]);
    assert_same(&sky.skypipe(&["-r", "whole"]).done().success(), &whole);
}
