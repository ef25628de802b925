//! Tests at a satellite with keys: what a writer seals, and what a listener trusts.

use std::cell::Cell;

use bytes::Bytes;
use skypipe_protocol::address::Address;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{
    CHUNK_OVERHEAD, Code, Data, Finish, How, Limits, MAGIC, MAX_CHUNK, MIN_SEND, Mode, OwnKey,
    PIECE, REVISION, Reply, Request, Rights, cost, encode,
};
use uuid::Uuid;

use super::talk::{A, B, OWN, Talk, write_job};
use crate::crypto::seal::{MOST_PLAIN, Opener, Order, Sealer, Suite, sealed_len};
use crate::crypto::{Identity, Keyring, sealed_keyring};
use crate::session::{Compression, Input, Job, Question};

/// More credit than any test uses.
const ENOUGH: u64 = 1 << 30;

thread_local! {
    static GIVEN: Cell<u8> = const { Cell::new(0) };
}

/// The wall-clock time at which a session starts.
const WALL: u64 = 1_000_000;

fn fresh() -> Secret {
    GIVEN.set(GIVEN.get() + 1);
    Secret::new([GIVEN.get(); 32])
}

fn seed() -> Seed {
    Seed::new(Secret::new([100; 32]))
}

fn token(kind: Kind) -> Token {
    Token {
        address: Address::tcp("sky", 9000),
        kind,
        satellite: [2; 32],
        seed: seed(),
        expires: None,
    }
}

fn founder() -> Identity {
    Identity::new(&token(Kind::Founder), fresh)
}

/// The owner's keyring after this many renewals, and its sealed form.
fn renewed(times: u8) -> (Keyring, Bytes) {
    let keyring = (0..times).fold(Keyring::founder(&seed()), |keyring, time| {
        keyring.renewed(&[time; 64]).expect("the founder manages")
    });
    let managing = keyring.managing().expect("the founder manages");
    let sealed_keyring =
        sealed_keyring::seal(&keyring, &seed().encryption().public, &managing, &fresh());
    (keyring, sealed_keyring.expect("the key is good").into())
}

pub(super) fn welcome(talk: &mut Talk, sealed_keyring: Option<Bytes>) {
    welcome_with(talk, sealed_keyring, MAX_CHUNK as u64);
}

fn welcome_with(talk: &mut Talk, sealed_keyring: Option<Bytes>, chunk: u64) {
    talk.reply(&Reply::Welcome {
        satellite: Uuid::max(),
        revision: REVISION,
        program: "skypipe 1.0.0".to_owned(),
        limits: Limits {
            chunk,
            heartbeat_ms: 2500,
            writer_lost_ms: 60_000,
            listener_lost_ms: 10_000,
        },
        key: Some(OwnKey {
            name: "first".to_owned(),
            rights: Rights::ALL,
            expires: None,
            sealed_keyring,
            is_attested: true,
            address: None,
        }),
    });
}

fn talk(job: Job) -> Talk {
    Talk::with(job, |config| config.identity = Some(founder()))
}

/// A writer with an open stream.
fn writer(limit: u64) -> Talk {
    let mut talk = talk(write_job(false));
    welcome(&mut talk, None);
    talk.opened(0, limit);
    talk.said();
    talk
}

fn listener(mode: Mode) -> Talk {
    let pipe = "p".to_owned();
    let mut talk = talk(Job::Listen { pipe, mode });
    welcome(&mut talk, None);
    talk.reply(&super::talk::LISTENING);
    talk.said();
    talk
}

/// The chunks that were sent, with their offsets.
fn chunks(talk: &mut Talk) -> Vec<(u64, Bytes)> {
    let data = |(request, payload)| match request {
        Request::Data(Data { at, .. }) => Some((at, payload?)),
        _ => None,
    };
    talk.take_sent().into_iter().filter_map(data).collect()
}

/// The plaintext of chunks for a holder of these keys.
fn opened(keyring: &Keyring, chunks: &[(u64, Bytes)]) -> String {
    let mut opener = Opener::new(OWN, "p");
    let mut text = Vec::new();
    for (_, wire) in chunks {
        let payload = opener.open(keyring.epochs(), wire, false);
        text.extend_from_slice(&payload.expect("it is as it was sealed").plain);
    }
    String::from_utf8(text).expect("tests write text")
}

fn sealer(stream: Uuid) -> Sealer {
    sealer_at(stream, 0)
}

fn sealer_at(stream: Uuid, position: u64) -> Sealer {
    let keyring = Keyring::founder(&seed());
    let sealer = Sealer::new(
        keyring.newest(),
        &fresh(),
        stream,
        "p",
        position,
        Suite::best(),
    );
    sealer.expect("the key is good")
}

fn chunk(talk: &mut Talk, seq: u64, stream: Uuid, at: u64, wire: &[u8]) {
    let chunk = Reply::Chunk {
        listener: OWN,
        seq,
        stream,
        at,
        missed: 0,
    };
    talk.receive(&[MAGIC, &encode(&chunk), wire]);
}

#[test]
fn rule_17_a_writer_seals_what_it_sends_and_proves_its_end() {
    let mut talk = writer(ENOUGH);
    talk.read("a secret\n");
    talk.read("another\n");
    talk.happen(Input::ReadEnd);
    let sent = talk.take_sent();
    let text = "a secret\nanother\n";
    assert!(sent.iter().all(|(_, payload)| {
        payload
            .as_ref()
            .is_none_or(|wire| !wire.windows(6).any(|part| part == b"secret"))
    }));
    let wire: Vec<_> = sent
        .iter()
        .filter_map(|(_, payload)| payload.clone())
        .collect();
    let length: usize = wire.iter().map(Bytes::len).sum();
    let Some((
        Request::Finish(Finish {
            len,
            how: How::Proven(proof),
            ..
        }),
        None,
    )) = sent.last()
    else {
        panic!("a proven end: {:?}", sent.last());
    };
    assert_eq!(*len, length as u64);
    let keyring = Keyring::founder(&seed());
    let mut opener = Opener::new(OWN, "p").due_at(0);
    let plain = opener.open(keyring.epochs(), &wire.concat(), false);
    assert_eq!(plain.expect("it opens").plain, text.as_bytes());
    let end = opener.end(keyring.epochs(), proof, false);
    assert_eq!(end.expect("it is proven").len, text.len() as u64);
}

#[test]
fn nothing_is_sent_that_is_not_sealed() {
    let mut talk = talk(write_job(false));
    talk.read("early\n");
    talk.opened(0, ENOUGH);
    assert_eq!(chunks(&mut talk), []);
    welcome(&mut talk, None);
    let sent = chunks(&mut talk);
    assert_eq!(opened(&Keyring::founder(&seed()), &sent), "early\n");
}

#[test]
fn rule_13_tails_are_those_of_the_lines_that_were_read() {
    let mut talk = writer(ENOUGH);
    talk.read("half a ");
    talk.read("line\nand");
    let tail = |(request, _)| match request {
        Request::Data(Data { tail, .. }) => Some(tail),
        _ => None,
    };
    let tails: Vec<_> = talk.take_sent().into_iter().filter_map(tail).collect();
    assert_eq!(tails, [7, 3]);
}

#[test]
fn a_record_fits_the_credit_that_a_satellite_always_gives() {
    assert_eq!(sealed_len(MOST_PLAIN) as u64 + CHUNK_OVERHEAD, MIN_SEND);
    let mut talk = writer(MIN_SEND);
    talk.read(&"x".repeat(3 * MOST_PLAIN));
    let first = chunks(&mut talk);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1.len(), sealed_len(MOST_PLAIN));
    talk.ack(0, 2 * MIN_SEND - 1);
    assert_eq!(chunks(&mut talk), [], "a record is never cut");
    talk.ack(0, 2 * MIN_SEND);
    assert_eq!(chunks(&mut talk).len(), 1);
}

/// A writer that packs everything that shrinks.
fn packing_writer(limit: u64) -> Talk {
    let mut job = write_job(false);
    if let Job::Write { compress, .. } = &mut job {
        *compress = Compression::Level(1);
    }
    let mut talk = talk(job);
    welcome(&mut talk, None);
    talk.opened(0, limit);
    talk.said();
    talk
}

fn log() -> String {
    let line = |n: u32| format!("request {n} took {} us\n", n.wrapping_mul(2_654_435_761));
    (0..20_000).map(line).collect()
}

#[test]
fn what_is_packed_fits_a_piece_and_says_the_same() {
    let mut talk = packing_writer(ENOUGH);
    let log = log();
    talk.read(&log);
    let sent = chunks(&mut talk);
    assert!(sent.len() > 1 && sent.iter().all(|(_, wire)| wire.len() <= PIECE));
    let length: usize = sent.iter().map(|(_, wire)| wire.len()).sum();
    assert!(2 * length < log.len(), "{length} of {}", log.len());
    assert_eq!(opened(&Keyring::founder(&seed()), &sent), log);
}

#[test]
fn a_packed_record_goes_with_the_credit_that_a_satellite_always_gives() {
    let mut talk = packing_writer(MIN_SEND);
    let log = log();
    talk.read(&log);
    let (mut sent, mut limit) = (chunks(&mut talk), MIN_SEND);
    while sent.len() < 5 {
        let acked: u64 = sent.iter().map(|(_, wire)| wire.len() as u64).sum();
        limit += MIN_SEND;
        talk.ack(acked, limit);
        let next = chunks(&mut talk);
        assert!(next.len() == 1 && next[0].1.len() > 3000, "{next:?}");
        sent.extend(next);
    }
    assert!(log.starts_with(&opened(&Keyring::founder(&seed()), &sent)));
}

#[test]
fn rule_16_what_was_packed_is_sent_again_as_it_was() {
    let mut talk = packing_writer(ENOUGH);
    let log = log();
    talk.read(&log);
    talk.happen(Input::ReadEnd);
    let sent = chunks(&mut talk);
    talk.break_off();
    talk.pass(std::time::Duration::from_secs(1));
    welcome(&mut talk, None);
    talk.opened(0, ENOUGH);
    assert_eq!(joined(&chunks(&mut talk)), joined(&sent));
}

/// The concatenated chunks.
fn joined(chunks: &[(u64, Bytes)]) -> Vec<u8> {
    chunks.iter().flat_map(|(_, wire)| wire.to_vec()).collect()
}

#[test]
fn who_asks_for_compression_where_nothing_is_sealed_is_told() {
    let mut job = write_job(false);
    if let Job::Write { compress, .. } = &mut job {
        *compress = Compression::Level(1);
    }
    let mut talk = Talk::new(job);
    talk.said();
    let notices = talk.notices.concat();
    assert!(
        notices.contains("--compress does nothing here"),
        "{notices}"
    );
}

#[test]
fn rule_16_what_is_sent_again_is_the_same_bytes_cut_between_records() {
    let mut talk = writer(ENOUGH);
    let text = "x".repeat(3 * MOST_PLAIN);
    talk.read(&text);
    talk.happen(Input::ReadEnd);
    let sent = chunks(&mut talk);
    assert_eq!(sent.len(), 1, "one chunk of three records");
    talk.break_off();
    talk.pass(std::time::Duration::from_secs(1));
    welcome(&mut talk, None);
    let record = sealed_len(MOST_PLAIN);
    talk.opened(record as u64, cost(record) + 300);
    let again = chunks(&mut talk);
    assert_eq!(
        again,
        [(record as u64, sent[0].1.slice(record..2 * record))]
    );
    talk.ack(0, ENOUGH);
    let last = talk.take_sent();
    assert_eq!(last[0].1.as_deref(), Some(&sent[0].1[2 * record..]));
    assert!(matches!(
        last[1].0,
        Request::Finish(Finish {
            how: How::Proven(_),
            ..
        })
    ));
}

#[test]
fn a_satellite_cannot_go_on_within_a_record() {
    let mut talk = writer(ENOUGH);
    talk.read("text");
    talk.break_off();
    talk.pass(std::time::Duration::from_secs(1));
    welcome(&mut talk, None);
    talk.opened(10, ENOUGH);
    assert_eq!(talk.exit, Some(3));
}

#[test]
fn the_end_is_proven_again_in_the_same_way() {
    let mut talk = writer(ENOUGH);
    talk.read("text");
    talk.happen(Input::ReadEnd);
    let first = talk.take_sent().pop().expect("a finish");
    talk.break_off();
    talk.pass(std::time::Duration::from_secs(1));
    let (_, sealed_keyring) = renewed(1);
    welcome(&mut talk, Some(sealed_keyring));
    let len = sealed_len(4) as u64;
    talk.opened(len, ENOUGH);
    assert_eq!(talk.take_sent().pop(), Some(first));
}

#[test]
fn newer_keys_seal_what_is_written_from_then_on() {
    let mut talk = writer(ENOUGH);
    talk.read("old\n");
    let (keyring, sealed_keyring) = renewed(2);
    talk.reply(&Reply::Keyring { sealed_keyring });
    talk.read("new\n");
    let (_, older) = renewed(1);
    talk.reply(&Reply::Keyring {
        sealed_keyring: older,
    });
    talk.read("newer\n");
    let sent = chunks(&mut talk);
    let epochs: Vec<_> = sent.iter().map(|(_, wire)| wire[7]).collect();
    assert_eq!(epochs, [0, 2, 2], "never back to older ones");
    assert_eq!(opened(&keyring, &sent), "old\nnew\nnewer\n");
}

#[test]
fn a_box_that_is_none_ends_it() {
    let mut talk = writer(ENOUGH);
    talk.reply(&Reply::Keyring {
        sealed_keyring: Bytes::from_static(b"made up"),
    });
    assert_eq!(talk.exit, Some(1));
}

#[test]
fn a_machine_without_keys_is_told_to_join() {
    let identity = Identity::new(&token(Kind::Phrase), fresh);
    let mut talk = Talk::with(write_job(false), |config| {
        config.identity = Some(identity.clone());
    });
    welcome(&mut talk, None);
    assert_eq!(talk.exit, Some(1));
    assert!(talk.notices[0].contains("--join"), "{:?}", talk.notices);
    // A question is allowed, because it is the way to get keys.
    let mut talk = Talk::with(Job::Ask(Question::Phrase), |config| {
        config.identity = Some(identity);
    });
    welcome(&mut talk, None);
    assert!(
        talk.take_sent()
            .iter()
            .any(|(request, _)| *request == Request::Phrase)
    );
}

#[test]
fn a_satellite_that_takes_no_record_or_has_no_keys_is_left() {
    let mut talk = talk(write_job(false));
    welcome_with(&mut talk, None, MIN_SEND - 1);
    assert_eq!(talk.exit, Some(1));
    let mut talk = self::talk(write_job(false));
    talk.welcome();
    assert_eq!(talk.exit, Some(1));
}

/// The satellite never sends `Welcome`, so its client never gets its keys.
#[test]
fn rule_17_nothing_that_is_not_sealed_is_printed_before_there_are_keys() {
    let done = Reply::Done {
        listener: OWN,
        seq: 0,
        missed: 0,
        eof: None,
    };
    let closed = Reply::Closed { listener: OWN };
    for mode in [Mode::Default, Mode::One, Mode::Follow, Mode::Tap] {
        for early in [&super::talk::LISTENING, &done, &closed] {
            let pipe = "p".to_owned();
            let mut talk = talk(Job::Listen { pipe, mode });
            talk.reply(early);
            assert_eq!(talk.exit, Some(1), "{mode:?}: {early:?}");
        }
        let pipe = "p".to_owned();
        let mut talk = talk(Job::Listen { pipe, mode });
        chunk(&mut talk, 0, A, 0, b"nobody wrote this\n");
        assert_eq!((talk.exit, talk.printed()), (Some(1), ""));
        assert!(
            talk.notices[0].contains("cannot be trusted"),
            "{:?}",
            talk.notices
        );
    }
}

#[test]
fn rule_17_a_listener_prints_what_was_sealed() {
    let mut talk = listener(Mode::Default);
    let mut sealer = sealer(A);
    let (one, two) = (sealer.seal(b"one\n"), sealer.seal(b"two\n"));
    chunk(&mut talk, 0, A, 0, &one);
    chunk(&mut talk, 1, A, one.len() as u64, &two);
    talk.ended(2, A, How::Proven(sealer.end()), 0);
    talk.done(3);
    talk.write_all();
    assert_eq!(talk.printed(), "one\ntwo\n");
    talk.reply(&Reply::Closed { listener: OWN });
    assert_eq!((talk.exit, &talk.notices[..]), (Some(0), &[][..]));
}

#[test]
fn what_is_altered_missing_moved_or_repeated_is_told_and_not_printed() {
    let sealed = || {
        let mut sealer = sealer(A);
        let chunks = ["one\n", "two\n", "three\n"].map(|text| sealer.seal(text.as_bytes()));
        (chunks, sealer.end())
    };
    let ([one, two, three], _) = sealed();
    let mut altered = two.to_vec();
    altered[60] ^= 1;
    let (first, second) = (one.len() as u64, (one.len() + two.len()) as u64);
    let elsewhere = sealer(B).seal(b"two\n");
    for (what, stream, at, wire) in [
        ("altered", A, first, &altered[..]),
        ("moved up", A, first, &three[..]),
        ("repeated", A, first, &one[..]),
        ("of another stream", A, first, &elsewhere[..]),
        ("in another stream", B, 0, &two[..]),
        ("cut", A, first, &two[..two.len() - 1]),
        ("no seal", A, first, b"two\n"),
        ("with a gap", A, second, &three[..]),
    ] {
        let mut talk = listener(Mode::Follow);
        chunk(&mut talk, 0, A, 0, &one);
        talk.write_all();
        chunk(&mut talk, 1, stream, at, wire);
        talk.write_all();
        assert_eq!(talk.printed(), "one\n", "{what}");
        assert_eq!(talk.exit, Some(1), "{what}");
        assert!(!talk.notices.is_empty(), "{what}");
    }
}

#[test]
fn an_end_that_its_writer_did_not_prove_is_told() {
    let ends = |len: usize| {
        let mut sealer = sealer(A);
        let wire = sealer.seal(&b"one\ntwo\n"[..len]);
        (wire, sealer.end())
    };
    let (wire, _) = ends(8);
    let (_, too_early) = ends(4);
    let others = sealer(B).end();
    for how in [
        How::End,
        How::Proven(too_early),
        How::Proven(others),
        How::Proven(Bytes::new()),
        How::Proven(wire.slice(..64)),
    ] {
        let mut talk = listener(Mode::Default);
        chunk(&mut talk, 0, A, 0, &wire);
        talk.ended(1, A, how.clone(), 0);
        assert_eq!(talk.exit, Some(1), "{how:?}");
    }
}

#[test]
fn what_comes_behind_a_proven_end_is_told() {
    let mut talk = listener(Mode::Follow);
    let mut sealer = sealer(A);
    let wire = sealer.seal(b"one\n");
    chunk(&mut talk, 0, A, 0, &wire);
    talk.ended(1, A, How::Proven(sealer.end()), 0);
    chunk(&mut talk, 2, A, wire.len() as u64, &wire);
    talk.write_all();
    assert_eq!((talk.exit, talk.printed()), (Some(1), "one\n"));
}

/// The attestation of an `--eof` for this pipe, given this many seconds after the listener's start.
fn order(pipe: &str, after: i64) -> Bytes {
    let order = Order {
        by: "laptop".to_owned(),
        at: WALL.saturating_add_signed(after),
    };
    let keyring = Keyring::founder(&seed());
    order.seal(keyring.newest(), pipe).expect("a founder reads")
}

/// Ends a listener that has everything, and returns its exit code.
fn closed(talk: &mut Talk) -> Option<u8> {
    talk.write_all();
    talk.reply(&Reply::Closed { listener: OWN });
    talk.exit
}

#[test]
fn rule_6_whose_eof_ended_it_is_told_and_inside_a_stream_it_is_exit_3() {
    for (mode, code) in [(Mode::Default, 3), (Mode::Follow, 0), (Mode::Tap, 0)] {
        let mut talk = listener(mode);
        chunk(&mut talk, 0, A, 0, &sealer(A).seal(b"some"));
        talk.done_by_eof(1, order("p", 60));
        assert_eq!(closed(&mut talk), Some(code), "{mode:?}");
        let said = "an --eof of laptop at 1970-01-12T13:47:40Z ended this listener of \"p\" inside 1 stream";
        assert_eq!(talk.notices, [said], "{mode:?}");
    }
}

#[test]
fn rule_6_an_eof_that_waited_says_whose_it_is_and_a_cut_needs_no_proof() {
    let mut talk = listener(Mode::Default);
    talk.ended(0, A, How::Eof(order("p", -1_000_000)), 0);
    talk.done(1);
    assert_eq!(closed(&mut talk), Some(0));
    let said = &talk.notices[0];
    assert!(
        said.contains("of laptop at 1970-01-01T00:00:00Z, which waited, ended this"),
        "{said}"
    );
    let mut talk = listener(Mode::Default);
    let wire = sealer(A).seal(b"half");
    chunk(&mut talk, 0, A, 0, &wire);
    talk.ended(1, A, How::Cut("interrupted".to_owned()), 0);
    talk.done(2);
    assert_eq!((closed(&mut talk), talk.printed()), (Some(3), "half"));
}

/// A lie of the satellite, with its name.
type Lie = (&'static str, fn(&mut Talk));

#[test]
fn rule_15_an_end_that_nobody_gave_is_exit_1() {
    let forged = || {
        let mut altered = order("p", 60).to_vec();
        altered[12] ^= 1;
        Bytes::from(altered)
    };
    let lies: [Lie; 7] = [
        ("nothing", |talk| talk.done(0)),
        ("no --eof", |talk| talk.done_by_eof(0, Bytes::new())),
        ("that of another pipe", |talk| {
            talk.done_by_eof(0, order("q", 60));
        }),
        ("an old one", |talk| talk.done_by_eof(0, order("p", -3601))),
        ("none that waited", |talk| talk.ended(0, A, How::End, 0)),
        ("a waiting one of nobody", |talk| {
            talk.ended(0, A, How::Eof(Bytes::new()), 0);
        }),
        ("that of a pipe's other", |talk| {
            talk.ended(0, A, How::Eof(order("q", 0)), 0);
        }),
    ];
    // A tap may have missed everything.
    let refused = |mode, lie| {
        if mode == Mode::Tap && lie == "nothing" {
            3
        } else {
            1
        }
    };
    for mode in [Mode::Default, Mode::Follow, Mode::Tap] {
        for (lie, tell) in lies {
            let mut talk = listener(mode);
            tell(&mut talk);
            let code = match (mode, lie) {
                (Mode::Tap, "nothing") => closed(&mut talk),
                _ => talk.exit,
            };
            assert_eq!(code, Some(refused(mode, lie)), "{mode:?}, {lie}");
        }
        let mut talk = listener(mode);
        talk.done_by_eof(0, forged());
        assert_eq!(talk.exit, Some(1), "{mode:?}, a forged one");
        let mut talk = listener(mode);
        chunk(&mut talk, 0, A, 0, &sealer(A).seal(b"three of nine"));
        talk.done(1);
        let code = closed(&mut talk);
        assert_eq!(
            code,
            Some(refused(mode, "nothing")),
            "{mode:?}, inside a stream"
        );
    }
    // Only a default listener ends by this.
    let mut talk = listener(Mode::Follow);
    talk.ended(0, A, How::Proven(sealer(A).end()), 0);
    talk.done(1);
    assert_eq!(talk.exit, Some(1));
}

#[test]
fn rule_15_a_stream_that_begins_in_its_middle_says_who_had_its_beginning() {
    for (mode, code) in [(Mode::Default, 3), (Mode::Follow, 0)] {
        let mut talk = listener(mode);
        let mut sealer = sealer_at(A, 100);
        chunk(&mut talk, 0, A, 6500, &sealer.seal(b"late"));
        talk.ended(1, A, How::Proven(sealer.end()), 0);
        talk.done_by_eof(2, order("p", 60));
        assert_eq!(
            (closed(&mut talk), talk.printed()),
            (Some(code), "late"),
            "{mode:?}"
        );
        let said = &talk.notices[0];
        assert!(
            said.contains("behind its first 100 bytes, which others had"),
            "{said}"
        );
        // The satellite withholds it, and claims that there is none.
        let mut talk = listener(mode);
        let mut sealer = sealer_at(A, 100);
        chunk(&mut talk, 0, A, 0, &sealer.seal(b"late"));
        talk.ended(1, A, How::Proven(sealer.end()), 0);
        assert_eq!(talk.exit, Some(1), "{mode:?}, a lie");
        // The satellite withholds all of it.
        let mut talk = listener(mode);
        talk.ended(0, A, How::Proven(sealer_at(A, 100).end()), 0);
        assert_eq!(talk.exit, Some(1), "{mode:?}, all of it");
    }
}

#[test]
fn rule_7_a_one_begins_with_the_first_byte() {
    for (mode, refused) in [(Mode::One, Some(1)), (Mode::Default, None)] {
        let mut talk = listener(mode);
        let mut sealer = sealer_at(A, 100);
        chunk(&mut talk, 0, A, 6500, &sealer.seal(b"late"));
        assert_eq!(talk.exit, refused, "{mode:?}");
    }
    let mut talk = listener(Mode::One);
    talk.ended(0, A, How::Proven(sealer_at(A, 100).end()), 0);
    assert_eq!(talk.exit, Some(1));
}

#[test]
fn rule_15_a_remainder_says_how_many_of_the_bytes_that_were_written_others_had() {
    let mut talk = listener(Mode::Default);
    let mut sealer = sealer_at(A, 1000);
    chunk(&mut talk, 0, A, 1064, &sealer.seal(b"rest"));
    talk.ended(1, A, How::Proven(sealer.end()), 1064);
    talk.done(2);
    talk.write_all();
    talk.reply(&Reply::Closed { listener: OWN });
    assert_eq!(talk.exit, Some(3));
    assert!(
        talk.notices[0].contains("first 1000 bytes"),
        "{:?}",
        talk.notices
    );
}

#[test]
fn rule_16_what_a_restarted_satellite_sends_again_is_dropped() {
    let mut talk = listener(Mode::Default);
    let mut sealer = sealer(A);
    let (one, two) = (sealer.seal(b"one\n"), sealer.seal(b"two\n"));
    chunk(&mut talk, 0, A, 0, &one);
    chunk(&mut talk, 1, A, 0, &one);
    chunk(&mut talk, 2, A, 0, &[&one[..], &two[..]].concat());
    talk.write_all();
    assert_eq!((talk.printed(), talk.exit), ("one\ntwo\n", None));
}

#[test]
fn rule_9_a_tap_says_how_many_of_the_bytes_that_were_written_it_missed() {
    let mut talk = listener(Mode::Tap);
    let mut sealer = sealer(A);
    let wire = [&b"one\n"[..], &[b'x'; 1000], b"two\n"].map(|text| sealer.seal(text));
    chunk(&mut talk, 0, A, 0, &wire[0]);
    let at = (wire[0].len() + wire[1].len()) as u64;
    let chunk = Reply::Chunk {
        listener: OWN,
        seq: 1,
        stream: A,
        at,
        missed: wire[1].len() as u64,
    };
    talk.receive(&[MAGIC, &encode(&chunk), &wire[2]]);
    talk.write_all();
    talk.pass(std::time::Duration::from_secs(2));
    assert_eq!((talk.printed(), talk.exit), ("one\ntwo\n", None));
    assert!(
        talk.notices[0].contains("missed 1000 bytes"),
        "{:?}",
        talk.notices
    );
}

#[test]
fn a_listener_without_keys_does_not_print_what_is_sealed_as_if_it_were_whole() {
    let mut talk = Talk::listener(Mode::Default);
    talk.ended(0, A, How::Proven(sealer(A).end()), 0);
    assert_eq!(talk.exit, Some(1));
}

#[test]
fn rule_7_a_one_is_over_after_its_stream_and_not_before() {
    let mut talk = listener(Mode::One);
    let mut sealer = sealer(A);
    let wire = sealer.seal(b"half of a job\n");
    chunk(&mut talk, 0, A, 0, &wire);
    talk.done(1);
    assert_eq!(talk.exit, Some(1));
    let mut talk = listener(Mode::One);
    chunk(&mut talk, 0, A, 0, &wire);
    talk.reply(&Reply::Closed { listener: OWN });
    assert_eq!(talk.exit, Some(1));
    let mut talk = listener(Mode::One);
    chunk(&mut talk, 0, A, 0, &wire);
    let others = self::sealer(B).seal(b"of another\n");
    chunk(&mut talk, 1, B, 0, &others);
    assert_eq!(talk.exit, Some(1));
}

#[test]
fn a_satellite_sends_no_more_than_it_was_asked_for() {
    let mut talk = listener(Mode::Default);
    let mut sealer = sealer(A);
    let mut at = 0;
    for seq in 0..40 {
        let wire = sealer.seal(&vec![b'x'; 1_000_000]);
        chunk(&mut talk, seq, A, at, &wire);
        at += wire.len() as u64;
        if talk.exit.is_some() {
            break;
        }
    }
    assert_eq!(talk.exit, Some(1));
    assert!(at < 20_000_000, "{at}");
}

#[test]
fn who_is_refused_exits_at_once() {
    let refused = || Input::Refused("you are not on the list".to_owned());
    let mut talk = talk(write_job(false));
    talk.happen(refused());
    assert_eq!(talk.exit, Some(4));
    assert_eq!(talk.notices, ["you are not on the list"]);
    let mut talk = writer(ENOUGH);
    talk.happen(refused());
    assert_eq!(talk.exit, Some(1));
    let mut talk = writer(ENOUGH);
    talk.refuse(Code::Denied, None);
    assert_eq!(talk.exit, Some(1));
}
