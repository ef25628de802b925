//! Revocation: a revoked key has no access, and opens nothing written afterwards.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use skypipe::crypto::{Keyring, sealed_keyring};
use skypipe_protocol::token::Token;
use skypipe_protocol::{Listen, Mode, NewKeyring, Reply, Request};
use uuid::Uuid;

use crate::common::terminal::Terminal;
use crate::common::wait;
use crate::keys::arena::{Sky, holding, invite, joined, keys, mode, names, revoke};
use crate::keys::raw::{Raw, There};

/// How soon a connected client must be out.
const SECONDS: Duration = Duration::from_secs(5);

#[test]
fn a_revoked_key_is_out_at_once() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let host = joined(&invite(&laptop, &["web", "--read", "--write"]));
    let follow = host.skypipe(&["--follow", "a"]).start();
    let writer = host.skypipe(&["b"]).piped().start();
    writer.say("half\n");
    let reader = laptop.skypipe(&["b"]).start();
    reader.shows("half\n");
    laptop.until_listeners("a", 1);
    let began = std::time::Instant::now();
    revoke(&laptop, "web");
    let sentence = "your key was revoked: ask for a new invitation";
    follow.outcome().told(1, sentence);
    writer.outcome().told(1, sentence);
    assert!(began.elapsed() < SECONDS);
    // A reader of its stream is told.
    let told = reader.outcome().told(3, "was cut: its key was revoked");
    assert_eq!(told, b"half\n");
    for arguments in [&["--list"][..], &["-r", "a"], &["-w", "a"], &["--keys"]] {
        let outcome = host.skypipe(arguments).done();
        outcome.told(4, "does not know this machine's key: it was revoked");
    }
    assert!(keys(&laptop).iter().all(|key| key[0] != "web"));
}

#[test]
fn revoking_twice_succeeds_and_never_leaves_nobody() {
    let sky = Sky::new();
    let laptop = sky.manager();
    invite(&laptop, &["web", "--read"]);
    revoke(&laptop, "web");
    revoke(&laptop, "web");
    let outcome = laptop.skypipe(&["--revoke", "nobody"]).done();
    outcome.told(1, "no key has that name");
    let outcome = laptop.skypipe(&["--revoke", "first"]).done();
    outcome.told(
        2,
        "that is this machine's own key: revoke it on another machine",
    );
    // The access key next to the satellite may manage, so it counts as a manager and can be revoked.
    let outcome = laptop.skypipe(&["--revoke", "host", "--yes"]).done();
    outcome.told(0, "the key host is revoked");
    let phone = joined(&invite(&laptop, &["phone"]));
    revoke(&phone, "first");
    laptop.skypipe(&["--list"]).done().told(4, "it was revoked");
    let outcome = phone.skypipe(&["--revoke", "phone"]).done();
    outcome.told(2, "that is this machine's own key");
    assert_eq!(keys(&phone).len(), 1);
    phone.skypipe(&["x"]).fed("still here\n").printed("");
    phone.skypipe(&["x"]).done().printed("still here\n");
}

#[test]
fn whoever_is_revoked_the_others_get_a_new_reading_key() {
    let sky = Sky::new();
    let laptop = sky.manager();
    // A writer has the secret that all writers share.
    for (name, right) in [("web", "--write"), ("tv", "--read")] {
        invite(&laptop, &[name, right]);
        let outcome = laptop.skypipe(&["--revoke", name]).done();
        assert_eq!(
            outcome.stderr,
            format!(
                "skypipe: the key {name} is revoked; new data is sealed with a new reading key\n"
            )
        );
    }
    let mut tap = Tap::on("news", sky.first());
    laptop.skypipe(&["news"]).fed("a line\n").printed("");
    tap.until(2);
    assert_eq!(tap.epochs, [2]);
}

/// The sealed keyring that the satellite stores for the holder of an invitation.
fn keyring_of(invitation: &str) -> Bytes {
    let token = Token::parse(invitation).expect("it is an invitation");
    let raw = Raw::stranger(&There::of(&token), Some(&token.seed.identity()));
    raw.say(&raw.hello());
    let Reply::Welcome { key: Some(own), .. } = raw.hear() else {
        panic!("a welcome with a key");
    };
    own.sealed_keyring
        .expect("an invitation has a sealed keyring")
}

#[test]
fn a_key_that_has_expired_gets_no_new_reading_key() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["tv", "--read", "--expires", "3s"]);
    let old = keyring_of(&token);
    let tv = holding(&token);
    wait::until("it has expired", || {
        tv.skypipe(&["--list"]).done().code == Some(4)
    });
    invite(&laptop, &["web", "--write"]);
    let outcome = laptop.skypipe(&["--revoke", "web"]).done();
    assert!(
        outcome
            .stderr
            .contains("the key tv gets no new reading key: it has expired"),
        "{outcome}"
    );
    outcome.told_at_last(0, "the key web is revoked");
    let roll = fs::read(sky.keys().join("authorized")).expect("it is there");
    assert!(contains(&roll, &old), "what it had is as it was");
}

#[test]
fn a_renewal_that_was_broken_off_by_a_machine_that_is_lost_is_taken_over() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let phone = joined(&invite(&laptop, &["phone"]));
    let tablet = joined(&invite(&laptop, &["tablet", "--read"]));
    let web = joined(&invite(&laptop, &["web", "--write"]));
    invite(&laptop, &["tv", "--read"]);
    // The laptop begins a generation, and gets no further.
    let owner = Token::parse(sky.first()).expect("it is an invitation");
    let raw = Raw::at(&There::of(&owner), &owner.seed);
    let kept = raw.answer(&Request::Keyring(NewKeyring {
        name: "first".to_owned(),
        epoch: 1,
        renewal: Some(Uuid::new_v4()),
        sealed_keyring: keyring_of(sky.first()),
        attestation: None,
    }));
    assert_eq!(kept, Reply::Kept);
    let outcome = phone.skypipe(&["--revoke", "tv"]).done();
    let told = "another machine started to make a new reading key and has not finished";
    assert!(outcome.stderr.contains(told), "{outcome}");
    outcome.told_at_last(1, "if that machine is lost, take over with --yes");
    let outcome = phone.skypipe(&["--invite", "x"]).done();
    outcome.told(1, "or with --yes on any machine that can invite others");
    // The user is asked.
    for (answer, code) in [("n", 1), ("y", 0)] {
        let terminal = Terminal::open();
        let revoke = phone.skypipe(&["--revoke", "tv"]).on(&terminal).start();
        terminal.shows("Should this machine take over? [y/N] ");
        terminal.types(&format!("{answer}\n"));
        let outcome = revoke.outcome();
        assert_eq!(outcome.code, Some(code), "{}", terminal.screen());
    }
    let mut tap = Tap::on("news", &invite(&phone, &["watch", "--read"]));
    web.skypipe(&["news"]).fed("news\n").printed("");
    tap.until(2);
    tablet.skypipe(&["news"]).done().printed("news\n");
    // After that there is nothing left to take over.
    let outcome = phone.skypipe(&["--revoke", "tv"]).done();
    outcome.told(0, "sealed with a new reading key");
    phone
        .skypipe(&["--revoke", "tv", "--yes"])
        .done()
        .told(0, "");
}

#[test]
fn a_renewal_that_was_broken_off_is_gone_on_with() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let tablet = joined(&invite(&laptop, &["tablet", "--read"]));
    let web = joined(&invite(&laptop, &["web", "--write"]));
    invite(&laptop, &["tv", "--read"]);
    // The laptop got no further than its own keyring.
    let owner = Token::parse(sky.first()).expect("it is an invitation");
    let keyring = Keyring::owner(&owner.seed).renewed(&[7; 64]);
    let keyring = keyring.expect("the owner manages");
    let managing = owner.seed.managing();
    let to = owner.seed.encryption().public;
    let sealed_keyring = sealed_keyring::seal(&keyring, &to, &managing, &skypipe::system::random());
    let raw = Raw::at(&There::of(&owner), &owner.seed);
    let kept = raw.answer(&Request::Keyring(NewKeyring {
        name: "first".to_owned(),
        epoch: 1,
        renewal: Some(Uuid::new_v4()),
        sealed_keyring: sealed_keyring.expect("it is a good key").into(),
        attestation: None,
    }));
    assert_eq!(kept, Reply::Kept);
    let outcome = laptop.skypipe(&["--revoke", "tv"]).done();
    outcome.told_at_last(
        1,
        "the last renewal did not reach tablet, web: it was interrupted",
    );
    let terminal = Terminal::open();
    let revoke = laptop.skypipe(&["--revoke", "tv"]).on(&terminal).start();
    terminal.types("y\n");
    let outcome = revoke.outcome();
    assert_eq!(outcome.code, Some(0), "{}", terminal.screen());
    web.skypipe(&["news"]).fed("news\n").printed("");
    tablet.skypipe(&["news"]).done().printed("news\n");
    let outcome = laptop.skypipe(&["--revoke", "tv"]).done();
    outcome.told(0, "sealed with a new reading key");
}

#[test]
fn the_satellite_s_own_access_key_is_revoked_by_who_means_it_and_can_be_made_anew() {
    let mut sky = Sky::new();
    let laptop = sky.manager();
    let beside = ["--keys", "--data", "data"];
    let told = "host is the access key of the satellite's own machine";
    let outcome = laptop.skypipe(&["--revoke", "host"]).done();
    outcome.told(2, told);
    let terminal = Terminal::open();
    let asked = laptop.skypipe(&["--revoke", "host"]).on(&terminal).start();
    terminal.shows("Revoke it? [y/N] ");
    terminal.types("n\n");
    assert_eq!(asked.outcome().code, Some(1));
    assert!(terminal.screen().contains(told), "{}", terminal.screen());
    sky.host().skypipe(&beside).done().success();

    let outcome = laptop.skypipe(&["--revoke", "host", "--yes"]).done();
    outcome.told(0, "the key host is revoked");
    let outcome = sky.host().skypipe(&beside).done();
    outcome.told(4, "empty the file keys/host in that directory");
    // The key stays revoked after a restart.
    sky.kill();
    sky.restart();
    let outcome = sky.host().skypipe(&beside).done();
    outcome.told(4, "it was revoked");
    // Somebody on the satellite's host makes a new key there.
    sky.kill();
    fs::write(sky.keys().join("host"), "").expect("it is ours");
    sky.restart();
    sky.host().skypipe(&beside).done().success();
    assert_eq!(mode(&sky.keys().join("host")), 0o600);
    assert_eq!(names(&laptop), ["first", "host"]);
    // The key opens no pipe, as before.
    laptop.skypipe(&["x"]).fed("a line\n").printed("");
    let read = ["-r", "x"];
    let outcome = holding(&sky.access_key()).skypipe(&read).done();
    outcome.told(1, "has no key to its pipes");
}

/// The generations of the reading key in a pipe's records, in order, each once (bytes 4 to 8 of a record).
/// A raw client taps the pipe and takes nothing.
struct Tap {
    raw: Raw,
    epochs: Vec<u32>,
}

impl Tap {
    fn on(pipe: &str, invitation: &str) -> Self {
        let token = Token::parse(invitation).expect("it is an invitation");
        let raw = Raw::at(&There::of(&token), &token.seed);
        raw.say(&Request::Listen(Listen {
            listener: Uuid::new_v4(),
            pipe: pipe.to_owned(),
            mode: Mode::Tap,
            window: 1 << 30,
            resume: None,
        }));
        raw.hear_word("Listening");
        let epochs = Vec::new();
        Self { raw, epochs }
    }

    /// Waits for records of the generation `wanted`.
    fn until(&mut self, wanted: u32) {
        while self.epochs.last() != Some(&wanted) {
            let (reply, payload) = self.raw.hear_with_payload();
            if matches!(reply, Reply::Chunk { .. }) {
                self.note(&payload.expect("a chunk has one"));
            }
        }
    }

    fn note(&mut self, mut records: &[u8]) {
        while let Some((head, rest)) = records.split_first_chunk::<48>() {
            let plain = u16::from_be_bytes([head[2], head[3]]);
            let epoch = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            if self.epochs.last() != Some(&epoch) {
                self.epochs.push(epoch);
            }
            records = &rest[usize::from(plain) + 16..];
        }
    }
}

#[test]
fn an_open_stream_goes_on_with_a_new_reading_key() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let tv = joined(&invite(&laptop, &["tv", "--read"]));
    let phone = joined(&invite(&laptop, &["phone", "--read"]));
    let host = joined(&invite(&laptop, &["web", "--write"]));
    let mut tap = Tap::on("news", sky.first());
    let before = phone.skypipe(&["news"]).start();
    let out = tv.skypipe(&["news"]).start();
    laptop.until_listeners("news", 3);
    let writer = host.skypipe(&["news"]).piped().start();
    writer.say("one\n");
    before.shows("one\n");
    out.shows("one\n");
    tap.until(0);
    revoke(&laptop, "tv");
    out.outcome().told(1, "your key was revoked");
    writer.say("two\n");
    before.shows("two\n");
    tap.until(1);
    assert_eq!(tap.epochs, [0, 1]);
    // A later machine gets all keys that it needs, even with an older invitation.
    laptop.until_listeners("news", 2);
    let after = phone.skypipe(&["news"]).start();
    laptop.until_listeners("news", 3);
    writer.say("three\n");
    after.shows("three\n");
    let new = joined(&invite(&laptop, &["new", "--read"]));
    let newest = new.skypipe(&["news"]).start();
    laptop.until_listeners("news", 4);
    writer.say("four\n");
    writer.close_stdin();
    writer.outcome().printed("");
    before.outcome().printed("one\ntwo\nthree\nfour\n");
    let late = after
        .outcome()
        .told(3, "after its first 8 bytes, which others read");
    assert_eq!(late, b"three\nfour\n");
    let latest = newest
        .outcome()
        .told(3, "after its first 14 bytes, which others read");
    assert_eq!(latest, b"four\n");
}

#[test]
fn what_was_written_before_is_read_by_those_who_stay() {
    let sky = Sky::new();
    let laptop = sky.manager();
    invite(&laptop, &["tv", "--read"]);
    let host = holding(&invite(&laptop, &["web", "--write"]));
    let phone = holding(&invite(&laptop, &["phone", "--read"]));
    for (number, name) in [(1, "tv"), (2, "tablet"), (3, "watch")] {
        host.skypipe(&["x"]).fed(format!("{number}\n")).printed("");
        if number > 1 {
            invite(&laptop, &[name, "--read"]);
        }
        revoke(&laptop, name);
    }
    host.skypipe(&["x"]).fed("4\n").printed("");
    let later = holding(&invite(&laptop, &["later", "--read"]));
    phone.skypipe(&["x"]).done().printed("1\n");
    laptop.skypipe(&["x"]).done().printed("2\n");
    later.skypipe(&["x"]).done().printed("3\n");
    later.skypipe(&["x"]).done().printed("4\n");
}

#[test]
fn nothing_of_the_old_machine_opens_what_was_written_after() {
    use skypipe::crypto::Identity;
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["tv", "--read"]);
    let tv = Token::parse(&token).expect("it is an invitation");
    let old = keyring_of(&token);
    revoke(&laptop, "tv");
    // The revoked key's data says nothing of the newer key, and opens nothing newer.
    let identity = Identity::new(&tv, skypipe::system::random);
    let keyring = identity.keyring(Some(&old)).expect("it was good");
    assert_eq!(keyring.newest().number, 0);
    let managing = tv.managing().expect("it names the managing key");
    let roll = fs::read(sky.keys().join("authorized")).expect("it is there");
    let owner = Token::parse(sky.first()).expect("it is an invitation");
    let newer = keyring_of(sky.first());
    assert!(contains(&roll, &newer) && !contains(&roll, &old));
    assert!(sealed_keyring::open(&newer, &owner.seed.encryption(), &managing).is_ok());
    assert!(sealed_keyring::open(&newer, &tv.seed.encryption(), &managing).is_err());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn revoked_keys_stay_out_when_the_satellite_comes_back() {
    let mut sky = Sky::new();
    let laptop = sky.manager();
    let web = joined(&invite(&laptop, &["web"]));
    web.skypipe(&["x"]).fed("before\n").printed("");
    revoke(&laptop, "web");
    sky.kill();
    sky.restart();
    web.skypipe(&["--list"]).done().told(4, "it was revoked");
    laptop.skypipe(&["x"]).done().printed("before\n");
    laptop.skypipe(&["x"]).fed("after\n").printed("");
    laptop.skypipe(&["x"]).done().printed("after\n");
}

#[test]
fn who_was_away_when_its_key_was_revoked_is_told_when_it_is_back() {
    let mut sky = Sky::new();
    let laptop = sky.manager();
    let web = joined(&invite(&laptop, &["web"]));
    let listener = web.skypipe(&["--follow", "x"]).start();
    laptop.until_listeners("x", 1);
    listener.signal(rustix::process::Signal::STOP);
    revoke(&laptop, "web");
    sky.kill();
    sky.restart();
    listener.signal(rustix::process::Signal::CONT);
    let outcome = listener.outcome();
    assert_eq!(outcome.code, Some(1), "{outcome}");
    outcome.told(1, "revoked");
}
