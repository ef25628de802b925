//! Commands on the satellite's own machine, and enrollment of a machine that makes its own keys.

use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::{Kind, Token};
use zeroize::Zeroizing;

use crate::common::Environment;
use crate::common::wait;
use crate::keys::arena::{PRIVATE, Sky, joined, names};

fn seed(number: u8) -> Seed {
    Seed::new(Secret::from(Zeroizing::new([number; 32])))
}

/// The output of `--invite NAME --for KEY`, which enrolling machines parse.
fn enroll(sky: &Sky, name: &str, public_keys: &str) -> serde_json::Value {
    let words = ["--invite", name, "--for", public_keys, "--data", "data"];
    let told = sky.host().skypipe(&words).done().success();
    let told = String::from_utf8(told).expect("it is text");
    assert_eq!(told.lines().count(), 1, "it is one line");
    serde_json::from_str(&told).expect("it is JSON")
}

#[test]
fn beside_the_satellite_its_directory_is_enough() {
    let sky = Sky::new();
    let manager = sky.manager();
    manager.skypipe(&["-w", "jobs"]).fed("one").success();
    let host = |arguments: &[&str]| {
        let arguments = [arguments, &["--data", "data"]].concat();
        String::from_utf8(sky.host().skypipe(&arguments).done().success()).expect("it is text")
    };
    assert!(host(&["--list"]).contains("jobs"));
    assert!(host(&["--check"]).contains("waiting    1 stream"));
    assert!(host(&["--keys"]).contains("first"));
    let outcome = sky
        .host()
        .skypipe(&["--invite", "laptop", "--data", "data"])
        .done();
    let line = outcome.told(0, "which asks for the phrase");
    let line = String::from_utf8(line).expect("it is text");
    assert_eq!(
        Token::parse(line.trim()).expect("it is one").kind,
        Kind::Phrase
    );
    let outcome = sky
        .host()
        .skypipe(&["--revoke", "laptop", "--data", "data"])
        .done();
    // The satellite's own machine has no keys, so it cannot renew those of the others.
    outcome.told(
        1,
        "the key laptop is revoked, but the reading key was not renewed",
    );
    assert!(!host(&["--keys"]).contains("laptop"));
    let outcome = sky
        .host()
        .skypipe(&["--discard", "jobs", "--data", "data"])
        .done();
    assert_eq!(outcome.told(0, "deleted 1 stream ("), b"");
}

#[test]
fn a_directory_without_a_satellite_is_told() {
    let home = Environment::here();
    let outcome = home.skypipe(&["--check", "--data", "nothing"]).done();
    assert_eq!(
        outcome.told(1, "is not the data directory of a satellite with keys"),
        b""
    );
}

#[test]
fn a_machine_that_makes_its_keys_by_itself_is_enrolled_once() {
    let sky = Sky::new();
    let public_keys = PublicKeys::of(&seed(7)).to_string();
    let told = enroll(&sky, "laptop", &public_keys);
    assert_eq!(told["name"], "laptop");
    let again = enroll(&sky, "another name", &public_keys);
    assert_eq!(again, told, "it is enrolled already");
    let other = enroll(&sky, "laptop", &PublicKeys::of(&seed(8)).to_string());
    assert_eq!(other["name"], "laptop-2");
    assert_eq!(
        names(&sky.manager()),
        ["first", "host", "laptop", "laptop-2"]
    );
}

#[test]
fn an_owner_from_elsewhere_is_enrolled_and_nothing_is_printed() {
    let host = Environment::here();
    let owner = seed(9);
    let public_keys = PublicKeys::of(&owner).to_string();
    let flags = [&PRIVATE[..], &["--owner", &public_keys]].concat();
    let satellite = host.satellite(&flags);
    let words = ["--invite", "any", "--for", &public_keys, "--data", "data"];
    let told = host.skypipe(&words).done().success();
    let told: serde_json::Value = serde_json::from_slice(&told).expect("it is JSON");
    assert_eq!(told["name"], "first", "the owner's key is authorized");
    let mut public = [0; 32];
    let bytes = told["satellite"].as_array().expect("it is a key");
    for (byte, value) in public.iter_mut().zip(bytes) {
        *byte = u8::try_from(value.as_u64().expect("a number")).expect("a byte");
    }
    let address = satellite.endpoint().trim_start_matches("tcp://");
    let token = Token {
        address: address.parse().expect("it has a port"),
        kind: Kind::Owner,
        satellite: public,
        seed: owner,
        expires: None,
    };
    let machine = joined(&token.encode());
    machine.skypipe(&["-w", "sky"]).fed("sealed").success();
    machine.skypipe(&["-r", "sky"]).done().printed("sealed");
    assert_eq!(
        satellite.process().shown(),
        b"",
        "no invitation was printed"
    );
    // After a restart the satellite has its authorized keys, and the flag makes no difference.
    let endpoint = satellite.endpoint().to_owned();
    drop(satellite.kill());
    let other = PublicKeys::of(&seed(1)).to_string();
    let flags = [&PRIVATE[..], &["--owner", &other]].concat();
    let _again = host.satellite_at(endpoint.trim_start_matches("tcp://"), &flags);
    wait::until("the owner is enrolled", || {
        machine.skypipe(&["--keys"]).done().code == Some(0)
    });
    assert_eq!(names(&machine), ["first", "host"]);
}
