//! The owner of the satellite's machine reads its memory and its disk, and finds no plaintext and no key
//! that opens any.

use std::ops::Range;
use std::path::PathBuf;

use skypipe::crypto::Keyring;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::SigningPair;
use skypipe_protocol::token::Token;

use crate::enemies::arena::Arena;
use crate::enemies::dump::Wanted;

/// A pipe name that the satellite knows, so that it must be found in its memory and on its disk.
const PIPE: &str = "a-pipe-whose-name-the-satellite-knows";

/// The position of the seed in an invitation's text, behind the last slash: it is bytes 34 to 66 of the
/// decoded data, and four characters encode three bytes.
const SEED_IN_TEXT: Range<usize> = 46..88;

/// Unique random bytes, more than a sealed record holds.
fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// The secrets in this invitation, which a satellite must not have.
fn secrets_of(wanted: &mut Wanted, who: &str, invitation: &str) {
    let token = Token::parse(invitation).expect("it is an invitation");
    let name = |what: &str| format!("{who}: {what}");
    wanted.key(&name("seed"), token.seed.secret().as_bytes());
    let identity = token.seed.identity();
    wanted.key(&name("key to connect with"), identity.secret.as_bytes());
    let encryption = token.seed.encryption();
    wanted.key(
        &name("key to open sealed keyrings"),
        encryption.secret.as_bytes(),
    );
    // Apart from the seed the invitation contains no secret, and the satellite may know the rest.
    let text = invitation.rsplit('/').next().expect("it has parts");
    wanted.bytes(&name("invitation"), &text[SEED_IN_TEXT]);
}

/// The additional secrets of the owner.
fn keys_of_owner(wanted: &mut Wanted, arena: &Arena) {
    let seed = arena.token().seed;
    let keyring = Keyring::owner(&seed);
    let epoch = keyring.newest();
    let reading = epoch.secret.as_ref().map(Secret::as_bytes);
    wanted.key("the reading key", reading.expect("an owner reads"));
    wanted.key("what writers share", epoch.psk.as_bytes());
    wanted.key("the managing key", seed.managing().secret.as_bytes());
    secrets_of(wanted, "the owner", &arena.invitation);
}

/// Checks that the search works: it must find the one key that the satellite needs, and a pipe's name.
#[track_caller]
fn assert_known(arena: &Arena, pipe: Option<&str>) {
    let pid = arena.process().pid();
    let seed = arena.environment.get("data/keys/satellite");
    let seed = Secret::new(seed.try_into().expect("a seed has 32 bytes"));
    let identity = SigningPair::derive(&seed, b"skypipe 1 satellite");
    assert_eq!(identity.public, arena.token().satellite);
    let mut own = Wanted::default();
    own.key("the satellite's own key", identity.secret.as_bytes());
    assert!(own.found_in_memory(pid).len() >= 3, "it is there, whole");
    if let Some(pipe) = pipe {
        let mut name = Wanted::default();
        name.exactly("a pipe's name", pipe.as_bytes());
        assert!(!name.found_in_memory(pid).is_empty());
        assert!(!name.found_below(&data(arena)).is_empty());
    }
}

fn data(arena: &Arena) -> PathBuf {
    arena.environment.home().join("data")
}

#[track_caller]
fn assert_unknown(wanted: &Wanted, arena: &Arena) {
    let mut found = wanted.found_in_memory(arena.process().pid());
    found.extend(wanted.found_below(&data(arena)));
    assert!(found.is_empty(), "the satellite has {found:#?}");
}

#[test]
fn a_satellite_that_has_made_its_first_invitation_knows_nothing_of_it() {
    // It is a matter of chance where copies remain.
    for _ in 0..4 {
        let arena = Arena::new();
        let mut wanted = Wanted::default();
        keys_of_owner(&mut wanted, &arena);
        assert_unknown(&wanted, &arena);
        assert_known(&arena, None);
    }
}

#[test]
fn a_satellite_knows_nothing_of_what_waits_and_what_is_under_way() {
    let arena = Arena::new();
    let mut wanted = Wanted::default();
    keys_of_owner(&mut wanted, &arena);
    let payload = random(20_000);
    wanted.bytes("unread data", &payload);
    arena.skypipe(&["-w", PIPE]).fed(&payload).printed("");
    assert_known(&arena, Some(PIPE));
    assert_unknown(&wanted, &arena);

    let listener = arena.skypipe(&["-r", "live"]).start();
    arena.environment.until_listeners("live", 1);
    let writer = arena.skypipe(&["-w", "live"]).piped().start();
    let line = random(600)
        .iter()
        .fold(String::new(), |line, byte| format!("{line}{byte:02x}"));
    wanted.bytes("what is under way", &line);
    writer.say(format!("{line}\n"));
    listener.shows(&line);
    assert_unknown(&wanted, &arena);
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed(format!("{line}\n"));
    assert!(arena.skypipe(&["-r", PIPE]).done().success() == payload);
    assert_unknown(&wanted, &arena);
}

#[test]
fn a_satellite_learns_no_key_from_those_who_come_and_go() {
    let arena = Arena::new();
    let mut wanted = Wanted::default();
    keys_of_owner(&mut wanted, &arena);
    let guest = arena.invite(&["guest"]);
    secrets_of(&mut wanted, "the guest", &guest);
    let payload = random(3000);
    wanted.bytes("a guest's", &payload);
    let write = arena.skypipe(&["-w", PIPE]).var("SATELLITE", &guest);
    write.fed(&payload).printed("");
    assert_unknown(&wanted, &arena);

    let revoked = arena.skypipe(&["--revoke", "guest"]).done();
    assert_eq!(revoked.code, Some(0), "{revoked}");
    let after = random(3000);
    wanted.bytes("what was written after the renewal", &after);
    arena.skypipe(&["-w", PIPE]).fed(&after).printed("");
    assert_known(&arena, Some(PIPE));
    assert_unknown(&wanted, &arena);
    assert!(arena.skypipe(&["-r", PIPE]).done().success() == payload);
    assert!(arena.skypipe(&["-r", PIPE]).done().success() == after);
    assert_unknown(&wanted, &arena);
}

#[test]
fn a_satellite_learns_neither_phrase_nor_key_from_who_joins_by_phrase() {
    let arena = Arena::new();
    let mut wanted = Wanted::default();
    keys_of_owner(&mut wanted, &arena);
    let phrase = arena.phrase();
    wanted.exactly("the phrase", phrase.as_bytes());
    for pair in phrase.split(' ').collect::<Vec<_>>().windows(2) {
        wanted.exactly("two words of the phrase", pair.join(" ").as_bytes());
    }
    assert_unknown(&wanted, &arena);

    let access = arena.environment.get("data/keys/host");
    let joined = arena
        .skypipe(&["--join"])
        .without("SATELLITE")
        .var("SKYPIPE_PHRASE", &phrase)
        .fed(access);
    assert_eq!(joined.code, Some(0), "{joined}");
    let payload = random(3000);
    wanted.bytes("what it wrote", &payload);
    let write = arena.skypipe(&["-w", PIPE]).without("SATELLITE");
    write.fed(&payload).printed("");
    assert_known(&arena, Some(PIPE));
    assert_unknown(&wanted, &arena);
}
