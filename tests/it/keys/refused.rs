//! A refused client is told at once why, and what to do.

use std::time::Duration;

use skypipe_protocol::token::Token;

use crate::common::Environment;
use crate::keys::arena::{Sky, holding, invite, revoke};
use crate::keys::raw::seed;

/// How soon each failure must be reported.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Commands of users, each of which must report the failure.
const COMMANDS: [&[&str]; 5] = [
    &["-r", "x"],
    &["-w", "x"],
    &["--follow", "x"],
    &["--list"],
    &["--eof", "x"],
];

/// Checks that every command on `machine` ends at once, with exit 4 and this sentence.
#[track_caller]
fn is_told(machine: &Environment, sentence: &str) {
    for arguments in COMMANDS {
        let outcome = machine.skypipe(arguments).fed("a line\n");
        assert!(outcome.took < AT_ONCE, "{:?}: {outcome}", outcome.took);
        assert_eq!(outcome.told(4, sentence), b"", "{arguments:?}");
    }
}

/// An invitation with this change.
fn changed(invitation: &str, change: impl FnOnce(&mut Token)) -> String {
    let mut token = Token::parse(invitation).expect("it is an invitation");
    change(&mut token);
    token.encode().to_string()
}

/// Every reason for which a satellite at `address` refuses a client.
fn all_of_it(address: &str) {
    let sky = Sky::at(address, &crate::keys::arena::PRIVATE);
    let first = sky.first();
    let endpoint = sky.endpoint();
    // Another satellite's key in place of ours.
    let other = changed(first, |token| token.satellite = seed(7).identity().public);
    let sentence = format!(
        "the satellite at {endpoint} is not the one in your invitation: it has another key; if it \
         was set up again, ask for a new invitation"
    );
    is_told(&holding(&other), &sentence);
    // A key that is not enrolled.
    let laptop = sky.manager();
    let token = invite(&laptop, &["phone"]);
    let unknown = changed(&token, |token| token.seed = seed(7));
    let sentence = format!(
        "the satellite at {endpoint} does not know this machine's key: it was revoked, has \
         expired, or is for another satellite; ask for a new invitation"
    );
    is_told(&holding(&unknown), &sentence);
    // A revoked key.
    revoke(&laptop, "phone");
    is_told(&holding(&token), &sentence);
    // No key.
    let mut stranger = Environment::here();
    stranger.leads_to(endpoint);
    let sentence = format!(
        "the satellite at {endpoint} is private: ask someone who uses it for an invitation \
         (skypipe --invite), then run skypipe --join here"
    );
    is_told(&stranger, &sentence);
    // None of that has left a trace.
    assert!(laptop.listing().is_empty());
}

#[test]
fn every_key_that_is_refused_is_told_at_once() {
    all_of_it("127.0.0.1:0");
}

#[test]
fn every_key_that_is_refused_is_told_at_once_over_ipv6() {
    all_of_it("[::1]:0");
}

#[test]
fn an_expired_key_is_told_at_once_whether_its_holder_knows_it_or_not() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["guest", "--expires", "1s"]);
    let endpoint = sky.endpoint();
    // A machine whose clock is slow learns it from the satellite.
    let unaware = holding(&changed(&token, |token| token.expires = None));
    crate::common::wait::until("it expires", || {
        unaware.skypipe(&["--list"]).done().code != Some(0)
    });
    is_told(
        &unaware,
        &format!(
            "the satellite at {endpoint} does not know this machine's key: it was revoked, has expired"
        ),
    );
    is_told(
        &holding(&token),
        &format!("your invitation to the satellite at {endpoint} has expired: ask for a new one"),
    );
}

#[test]
fn an_invitation_to_a_satellite_without_keys_is_told_at_once() {
    let sky = Sky::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let host = Environment::here();
        let open = host.satellite_at(address, &[]);
        let address = open.endpoint().trim_start_matches("tcp://");
        let there = changed(sky.first(), |token| {
            token.address = address.parse().expect("it is one");
        });
        let sentence = format!(
            "the satellite at {} has no keys, but your invitation is for one that does: ask \
             whoever invited you for its address",
            open.endpoint()
        );
        is_told(&holding(&there), &sentence);
    }
}

#[test]
fn a_right_that_is_missing_is_told_at_once() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let web = holding(&invite(&laptop, &["web", "--write", "--pipe", "logs"]));
    for (arguments, what) in [
        (["-r", "logs"], "read from \"logs\""),
        (["-w", "x"], "write to \"x\""),
        (
            ["--eof", "x"],
            "end the readers of \"x\", which requires reading and writing",
        ),
        (["--discard", "logs"], "read from \"logs\""),
    ] {
        let outcome = web.skypipe(&arguments).fed("a line\n");
        assert!(outcome.took < AT_ONCE, "{:?}: {outcome}", outcome.took);
        outcome.told(
            1,
            &format!(
                "your key, web, does not allow you to {what}: ask for an invitation that does"
            ),
        );
    }
}

#[test]
fn who_joins_is_told_as_well_and_has_not_joined() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["phone"]);
    revoke(&laptop, "phone");
    let other = changed(sky.first(), |token| {
        token.satellite = seed(7).identity().public;
    });
    for (token, sentence) in [
        (token, "does not know this machine's key"),
        (other, "is not the one in your invitation"),
    ] {
        let phone = Environment::here();
        let outcome = phone.skypipe(&["--join"]).fed(token);
        assert!(outcome.took < AT_ONCE, "{:?}: {outcome}", outcome.took);
        outcome.told(4, sentence);
        assert!(!crate::keys::arena::joined_file(&phone).exists());
    }
}
