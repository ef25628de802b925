//! An observer of the network sees neither the data nor the pipe's name, nor who writes, nor anything that
//! would give access.

use crate::common::Environment;
use crate::common::process::Run;
use crate::common::relay::Relay;
use crate::enemies::arena::{Arena, rerouted};
use crate::enemies::dump::Wanted;

const PIPE: &str = "the-name-of-a-pipe";
const PAYLOAD: &str = "what is written is nobody's affair\n";

/// A user name, which is part of a writer's label.
const USER: &str = "a-name-on-a-label";

/// What nobody on the network may see.
fn wanted() -> Wanted {
    let mut wanted = Wanted::default();
    wanted.exactly("the payload", PAYLOAD.trim_end().as_bytes());
    wanted.exactly("the pipe's name", PIPE.as_bytes());
    wanted.exactly("the writer's label", USER.as_bytes());
    wanted
}

fn write(run: Run) {
    run.var("USER", USER).fed(PAYLOAD).printed("");
}

/// The matches in the traffic since the last call. There must have been traffic both ways.
#[track_caller]
fn seen(recorder: &Relay, wanted: &Wanted) -> Vec<String> {
    let ways = recorder.take();
    for (way, bytes) in &ways {
        assert!(bytes.len() > 100, "nothing went {way}");
    }
    let ways = ways.iter();
    ways.flat_map(|(way, bytes)| wanted.found_in(way, bytes))
        .collect()
}

#[test]
fn on_the_way_to_an_open_satellite_everything_is_seen() {
    let mut environment = Environment::here();
    let satellite = environment.satellite(&[]);
    let recorder = Relay::recording(satellite.endpoint());
    environment.leads_to(&recorder.endpoint());
    let wanted = wanted();
    write(environment.skypipe(&["-w", PIPE]));
    let up = seen(&recorder, &wanted);
    assert!(up.len() >= 3, "{up:?}");
    environment.skypipe(&["--list"]).done().success();
    let listed = seen(&recorder, &wanted);
    assert!(
        listed.iter().any(|seen| seen.ends_with("down")),
        "{listed:?}"
    );
    environment.skypipe(&["-r", PIPE]).done().printed(PAYLOAD);
    let down = seen(&recorder, &wanted);
    assert!(down.len() >= 2, "{down:?}");
}

#[test]
fn on_the_way_to_a_private_satellite_nothing_is_seen() {
    let mut arena = Arena::new();
    let recorder = Relay::recording(arena.satellite().endpoint());
    let watched = rerouted(&arena.invitation, &recorder.endpoint());
    arena.environment.leads_to(&watched);
    let mut wanted = wanted();
    write(arena.skypipe(&["-w", PIPE]));
    assert_eq!(seen(&recorder, &wanted), Vec::<String>::new());
    let listed = arena.environment.listed(PIPE);
    assert_eq!(listed.waiting, 1, "it is there");
    assert_eq!(seen(&recorder, &wanted), Vec::<String>::new());
    arena.skypipe(&["-r", PIPE]).done().printed(PAYLOAD);
    assert_eq!(seen(&recorder, &wanted), Vec::<String>::new());

    wanted.exactly("a key's name", b"a-guest-of-mine");
    let guest = arena.invite(&["a-guest-of-mine", "--read", "--write", "--pipe", PIPE]);
    wanted.bytes(
        "an invitation",
        guest.rsplit('/').next().unwrap_or_default(),
    );
    write(arena.skypipe(&["-w", PIPE]).var("SATELLITE", &guest));
    let revoked = arena.skypipe(&["--revoke", "a-guest-of-mine"]).done();
    assert_eq!(revoked.code, Some(0), "{revoked}");
    assert_eq!(seen(&recorder, &wanted), Vec::<String>::new());
}

#[test]
fn a_machine_that_joins_by_phrase_shows_neither_phrase_nor_key() {
    let mut arena = Arena::new();
    let recorder = Relay::recording(arena.satellite().endpoint());
    let watched = rerouted(&arena.invitation, &recorder.endpoint());
    arena.environment.leads_to(&watched);
    let mut wanted = wanted();
    let phrase = arena.phrase();
    for word in phrase.split(' ').collect::<Vec<_>>().windows(2) {
        wanted.exactly("words of the phrase", word.join(" ").as_bytes());
    }
    let access = String::from_utf8(arena.environment.get("data/keys/host"));
    let access = rerouted(&access.expect("it is text"), &recorder.endpoint());
    wanted.bytes(
        "an access key",
        access.rsplit('/').next().unwrap_or_default(),
    );
    let join = arena.skypipe(&["--join"]).without("SATELLITE");
    let joined = join.var("SKYPIPE_PHRASE", &phrase).fed(&access);
    assert_eq!(joined.code, Some(0), "{joined}");
    write(arena.skypipe(&["-w", PIPE]).without("SATELLITE"));
    let read = arena.skypipe(&["-r", PIPE]).without("SATELLITE");
    read.done().printed(PAYLOAD);
    assert_eq!(seen(&recorder, &wanted), Vec::<String>::new());
}
