//! Tests at a satellite with keys: what a writer seals, and what a listener trusts.

use std::cell::Cell;

use bytes::Bytes;
use skypipe_protocol::address::Address;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{
    CHUNK_OVERHEAD, Data, Finish, How, Limits, MAGIC, MAX_CHUNK, MIN_SEND, Mode, OwnKey, PIECE,
    REVISION, Reply, Request, Rights, cost, encode,
};
use uuid::Uuid;

use super::dialogue::{A, B, Dialogue, OWN, write_job};
use crate::crypto::seal::{MOST_PLAIN, Opener, Order, Sealer, Suite, sealed_len};
use crate::crypto::{Identity, Keyring, sealed_keyring};
use crate::session::{Compression, Input, Job, Question};

/// More credit than any test uses.
pub(super) const ENOUGH: u64 = 1 << 30;

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

fn owner() -> Identity {
    Identity::new(&token(Kind::Owner), fresh)
}

/// The owner's keyring after this many renewals, and its sealed form.
fn renewed(times: u8) -> (Keyring, Bytes) {
    let keyring = (0..times).fold(Keyring::owner(&seed()), |keyring, time| {
        keyring.renewed(&[time; 64]).expect("the owner manages")
    });
    let managing = keyring.managing().expect("the owner manages");
    let sealed_keyring =
        sealed_keyring::seal(&keyring, &seed().encryption().public, &managing, &fresh());
    (keyring, sealed_keyring.expect("the key is good").into())
}

pub(super) fn welcome(dialogue: &mut Dialogue, sealed_keyring: Option<Bytes>) {
    welcome_with(dialogue, sealed_keyring, MAX_CHUNK as u64);
}

fn welcome_with(dialogue: &mut Dialogue, sealed_keyring: Option<Bytes>, chunk: u64) {
    dialogue.reply(&Reply::Welcome {
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

pub(super) fn dialogue(job: Job) -> Dialogue {
    Dialogue::with(job, |config| config.identity = Some(owner()))
}

/// A writer with an open stream.
pub(super) fn writer(limit: u64) -> Dialogue {
    let mut dialogue = dialogue(write_job(false));
    welcome(&mut dialogue, None);
    dialogue.opened(0, limit);
    dialogue.said();
    dialogue
}

fn listener(mode: Mode) -> Dialogue {
    let pipe = "p".to_owned();
    let mut dialogue = dialogue(Job::Listen { pipe, mode });
    welcome(&mut dialogue, None);
    dialogue.reply(&super::dialogue::LISTENING);
    dialogue.said();
    dialogue
}

/// The chunks that were sent, with their offsets.
fn chunks(dialogue: &mut Dialogue) -> Vec<(u64, Bytes)> {
    let data = |(request, payload)| match request {
        Request::Data(Data { at, .. }) => Some((at, payload?)),
        _ => None,
    };
    dialogue.take_sent().into_iter().filter_map(data).collect()
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
    let keyring = Keyring::owner(&seed());
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

fn chunk(dialogue: &mut Dialogue, seq: u64, stream: Uuid, at: u64, wire: &[u8]) {
    let chunk = Reply::Chunk {
        listener: OWN,
        seq,
        stream,
        at,
        missed: 0,
    };
    dialogue.receive(&[MAGIC, &encode(&chunk), wire]);
}

#[test]
fn rule_17_a_writer_seals_what_it_sends_and_proves_its_end() {
    let mut dialogue = writer(ENOUGH);
    dialogue.read("a secret\n");
    dialogue.read("another\n");
    dialogue.happen(Input::ReadEnd);
    let sent = dialogue.take_sent();
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
    let keyring = Keyring::owner(&seed());
    let mut opener = Opener::new(OWN, "p").due_at(0);
    let plain = opener.open(keyring.epochs(), &wire.concat(), false);
    assert_eq!(plain.expect("it opens").plain, text.as_bytes());
    let end = opener.end(keyring.epochs(), proof, false);
    assert_eq!(end.expect("it is proven").len, text.len() as u64);
}

#[test]
fn nothing_is_sent_that_is_not_sealed() {
    let mut dialogue = dialogue(write_job(false));
    dialogue.read("early\n");
    dialogue.opened(0, ENOUGH);
    assert_eq!(chunks(&mut dialogue), []);
    welcome(&mut dialogue, None);
    let sent = chunks(&mut dialogue);
    assert_eq!(opened(&Keyring::owner(&seed()), &sent), "early\n");
}

#[test]
fn rule_13_tails_are_those_of_the_lines_that_were_read() {
    let mut dialogue = writer(ENOUGH);
    dialogue.read("half a ");
    dialogue.read("line\nand");
    let tail = |(request, _)| match request {
        Request::Data(Data { tail, .. }) => Some(tail),
        _ => None,
    };
    let tails: Vec<_> = dialogue.take_sent().into_iter().filter_map(tail).collect();
    assert_eq!(tails, [7, 3]);
}

#[test]
fn a_record_fits_the_credit_that_a_satellite_always_gives() {
    assert_eq!(sealed_len(MOST_PLAIN) as u64 + CHUNK_OVERHEAD, MIN_SEND);
    let mut dialogue = writer(MIN_SEND);
    dialogue.read(&"x".repeat(3 * MOST_PLAIN));
    let first = chunks(&mut dialogue);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1.len(), sealed_len(MOST_PLAIN));
    dialogue.ack(0, 2 * MIN_SEND - 1);
    assert_eq!(chunks(&mut dialogue), [], "a record is never cut");
    dialogue.ack(0, 2 * MIN_SEND);
    assert_eq!(chunks(&mut dialogue).len(), 1);
}

/// A writer that packs everything that shrinks.
fn packing_writer(limit: u64) -> Dialogue {
    let mut job = write_job(false);
    if let Job::Write { compress, .. } = &mut job {
        *compress = Compression::Level(1);
    }
    let mut dialogue = dialogue(job);
    welcome(&mut dialogue, None);
    dialogue.opened(0, limit);
    dialogue.said();
    dialogue
}

fn log() -> String {
    let line = |n: u32| format!("request {n} took {} us\n", n.wrapping_mul(2_654_435_761));
    (0..20_000).map(line).collect()
}

#[test]
fn what_is_packed_fits_a_piece_and_says_the_same() {
    let mut dialogue = packing_writer(ENOUGH);
    let log = log();
    dialogue.read(&log);
    let sent = chunks(&mut dialogue);
    assert!(sent.len() > 1 && sent.iter().all(|(_, wire)| wire.len() <= PIECE));
    let length: usize = sent.iter().map(|(_, wire)| wire.len()).sum();
    assert!(2 * length < log.len(), "{length} of {}", log.len());
    assert_eq!(opened(&Keyring::owner(&seed()), &sent), log);
}

#[test]
fn a_packed_record_goes_with_the_credit_that_a_satellite_always_gives() {
    let mut dialogue = packing_writer(MIN_SEND);
    let log = log();
    dialogue.read(&log);
    let (mut sent, mut limit) = (chunks(&mut dialogue), MIN_SEND);
    while sent.len() < 5 {
        let acked: u64 = sent.iter().map(|(_, wire)| wire.len() as u64).sum();
        limit += MIN_SEND;
        dialogue.ack(acked, limit);
        let next = chunks(&mut dialogue);
        assert!(next.len() == 1 && next[0].1.len() > 3000, "{next:?}");
        sent.extend(next);
    }
    assert!(log.starts_with(&opened(&Keyring::owner(&seed()), &sent)));
}

#[test]
fn rule_16_what_was_packed_is_sent_again_as_it_was() {
    let mut dialogue = packing_writer(ENOUGH);
    let log = log();
    dialogue.read(&log);
    dialogue.happen(Input::ReadEnd);
    let sent = chunks(&mut dialogue);
    dialogue.break_off();
    dialogue.pass(std::time::Duration::from_secs(1));
    welcome(&mut dialogue, None);
    dialogue.opened(0, ENOUGH);
    assert_eq!(joined(&chunks(&mut dialogue)), joined(&sent));
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
    let mut dialogue = Dialogue::new(job);
    dialogue.said();
    let notices = dialogue.notices.concat();
    assert!(notices.contains("--compress has no effect"), "{notices}");
}

#[test]
fn rule_16_what_is_sent_again_is_the_same_bytes_cut_between_records() {
    let mut dialogue = writer(ENOUGH);
    let text = "x".repeat(3 * MOST_PLAIN);
    dialogue.read(&text);
    dialogue.happen(Input::ReadEnd);
    let sent = chunks(&mut dialogue);
    assert_eq!(sent.len(), 1, "one chunk of three records");
    dialogue.break_off();
    dialogue.pass(std::time::Duration::from_secs(1));
    welcome(&mut dialogue, None);
    let record = sealed_len(MOST_PLAIN);
    dialogue.opened(record as u64, cost(record) + 300);
    let again = chunks(&mut dialogue);
    assert_eq!(
        again,
        [(record as u64, sent[0].1.slice(record..2 * record))]
    );
    dialogue.ack(0, ENOUGH);
    let last = dialogue.take_sent();
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
    let mut dialogue = writer(ENOUGH);
    dialogue.read("text");
    dialogue.break_off();
    dialogue.pass(std::time::Duration::from_secs(1));
    welcome(&mut dialogue, None);
    dialogue.opened(10, ENOUGH);
    assert_eq!(dialogue.exit, Some(3));
}

#[test]
fn the_end_is_proven_again_in_the_same_way() {
    let mut dialogue = writer(ENOUGH);
    dialogue.read("text");
    dialogue.happen(Input::ReadEnd);
    let first = dialogue.take_sent().pop().expect("a finish");
    dialogue.break_off();
    dialogue.pass(std::time::Duration::from_secs(1));
    let (_, sealed_keyring) = renewed(1);
    welcome(&mut dialogue, Some(sealed_keyring));
    let len = sealed_len(4) as u64;
    dialogue.opened(len, ENOUGH);
    assert_eq!(dialogue.take_sent().pop(), Some(first));
}

#[test]
fn newer_keys_seal_what_is_written_from_then_on() {
    let mut dialogue = writer(ENOUGH);
    dialogue.read("old\n");
    let (keyring, sealed_keyring) = renewed(2);
    dialogue.reply(&Reply::Keyring { sealed_keyring });
    dialogue.read("new\n");
    let (_, older) = renewed(1);
    dialogue.reply(&Reply::Keyring {
        sealed_keyring: older,
    });
    dialogue.read("newer\n");
    let sent = chunks(&mut dialogue);
    let epochs: Vec<_> = sent.iter().map(|(_, wire)| wire[7]).collect();
    assert_eq!(epochs, [0, 2, 2], "never back to older ones");
    assert_eq!(opened(&keyring, &sent), "old\nnew\nnewer\n");
}

#[test]
fn a_box_that_is_none_ends_it() {
    let mut dialogue = writer(ENOUGH);
    dialogue.reply(&Reply::Keyring {
        sealed_keyring: Bytes::from_static(b"made up"),
    });
    assert_eq!(dialogue.exit, Some(1));
}

#[test]
fn a_machine_without_keys_is_told_to_join() {
    let identity = Identity::new(&token(Kind::Phrase), fresh);
    let mut dialogue = Dialogue::with(write_job(false), |config| {
        config.identity = Some(identity.clone());
    });
    welcome(&mut dialogue, None);
    assert_eq!(dialogue.exit, Some(1));
    assert!(
        dialogue.notices[0].contains("--join"),
        "{:?}",
        dialogue.notices
    );
    // A question is allowed, because it is the way to get keys.
    let mut dialogue = Dialogue::with(Job::Ask(Question::Phrase), |config| {
        config.identity = Some(identity);
    });
    welcome(&mut dialogue, None);
    assert!(
        dialogue
            .take_sent()
            .iter()
            .any(|(request, _)| *request == Request::Phrase)
    );
}

#[test]
fn a_satellite_that_takes_no_record_or_has_no_keys_is_left() {
    let mut dialogue = dialogue(write_job(false));
    welcome_with(&mut dialogue, None, MIN_SEND - 1);
    assert_eq!(dialogue.exit, Some(1));
    let mut dialogue = self::dialogue(write_job(false));
    dialogue.welcome();
    assert_eq!(dialogue.exit, Some(1));
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
        for early in [&super::dialogue::LISTENING, &done, &closed] {
            let pipe = "p".to_owned();
            let mut dialogue = dialogue(Job::Listen { pipe, mode });
            dialogue.reply(early);
            assert_eq!(dialogue.exit, Some(1), "{mode:?}: {early:?}");
        }
        let pipe = "p".to_owned();
        let mut dialogue = dialogue(Job::Listen { pipe, mode });
        chunk(&mut dialogue, 0, A, 0, b"nobody wrote this\n");
        assert_eq!((dialogue.exit, dialogue.printed()), (Some(1), ""));
        assert!(
            dialogue.notices[0].contains("cannot be trusted"),
            "{:?}",
            dialogue.notices
        );
    }
}

#[test]
fn rule_17_a_listener_prints_what_was_sealed() {
    let mut dialogue = listener(Mode::Default);
    let mut sealer = sealer(A);
    let (one, two) = (sealer.seal(b"one\n"), sealer.seal(b"two\n"));
    chunk(&mut dialogue, 0, A, 0, &one);
    chunk(&mut dialogue, 1, A, one.len() as u64, &two);
    dialogue.ended(2, A, How::Proven(sealer.end()), 0);
    dialogue.done(3);
    dialogue.write_all();
    assert_eq!(dialogue.printed(), "one\ntwo\n");
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!((dialogue.exit, &dialogue.notices[..]), (Some(0), &[][..]));
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
        let mut dialogue = listener(Mode::Follow);
        chunk(&mut dialogue, 0, A, 0, &one);
        dialogue.write_all();
        chunk(&mut dialogue, 1, stream, at, wire);
        dialogue.write_all();
        assert_eq!(dialogue.printed(), "one\n", "{what}");
        assert_eq!(dialogue.exit, Some(1), "{what}");
        assert!(!dialogue.notices.is_empty(), "{what}");
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
        let mut dialogue = listener(Mode::Default);
        chunk(&mut dialogue, 0, A, 0, &wire);
        dialogue.ended(1, A, how.clone(), 0);
        assert_eq!(dialogue.exit, Some(1), "{how:?}");
    }
}

#[test]
fn what_comes_behind_a_proven_end_is_told() {
    let mut dialogue = listener(Mode::Follow);
    let mut sealer = sealer(A);
    let wire = sealer.seal(b"one\n");
    chunk(&mut dialogue, 0, A, 0, &wire);
    dialogue.ended(1, A, How::Proven(sealer.end()), 0);
    chunk(&mut dialogue, 2, A, wire.len() as u64, &wire);
    dialogue.write_all();
    assert_eq!((dialogue.exit, dialogue.printed()), (Some(1), "one\n"));
}

/// The attestation of an `--eof` for this pipe, given this many seconds after the listener's start.
fn order(pipe: &str, after: i64) -> Bytes {
    let order = Order {
        by: "laptop".to_owned(),
        at: WALL.saturating_add_signed(after),
    };
    let keyring = Keyring::owner(&seed());
    order.seal(keyring.newest(), pipe).expect("an owner reads")
}

/// Ends a listener that has everything, and returns its exit code.
fn closed(dialogue: &mut Dialogue) -> Option<u8> {
    dialogue.write_all();
    dialogue.reply(&Reply::Closed { listener: OWN });
    dialogue.exit
}

#[test]
fn rule_6_whose_eof_ended_it_is_told_and_inside_a_stream_it_is_exit_3() {
    for (mode, code) in [(Mode::Default, 3), (Mode::Follow, 0), (Mode::Tap, 0)] {
        let mut dialogue = listener(mode);
        chunk(&mut dialogue, 0, A, 0, &sealer(A).seal(b"some"));
        dialogue.done_by_eof(1, order("p", 60));
        assert_eq!(closed(&mut dialogue), Some(code), "{mode:?}");
        let said = "an --eof by laptop at 1970-01-12T13:47:40Z ended this reader of \"p\" \
                    inside 1 stream";
        assert_eq!(dialogue.notices, [said], "{mode:?}");
    }
}

#[test]
fn rule_6_an_eof_that_waited_says_whose_it_is_and_a_cut_needs_no_proof() {
    let mut dialogue = listener(Mode::Default);
    dialogue.ended(0, A, How::Eof(order("p", -1_000_000)), 0);
    dialogue.done(1);
    assert_eq!(closed(&mut dialogue), Some(0));
    let said = &dialogue.notices[0];
    assert!(
        said.contains("by laptop at 1970-01-01T00:00:00Z, given earlier, ended this"),
        "{said}"
    );
    let mut dialogue = listener(Mode::Default);
    let wire = sealer(A).seal(b"half");
    chunk(&mut dialogue, 0, A, 0, &wire);
    dialogue.ended(1, A, How::Cut("interrupted".to_owned()), 0);
    dialogue.done(2);
    assert_eq!(
        (closed(&mut dialogue), dialogue.printed()),
        (Some(3), "half")
    );
}

/// A lie of the satellite, with its name.
type Lie = (&'static str, fn(&mut Dialogue));

#[test]
fn rule_15_an_end_that_nobody_gave_is_exit_1() {
    let forged = || {
        let mut altered = order("p", 60).to_vec();
        altered[12] ^= 1;
        Bytes::from(altered)
    };
    let lies: [Lie; 7] = [
        ("nothing", |dialogue| dialogue.done(0)),
        ("no --eof", |dialogue| dialogue.done_by_eof(0, Bytes::new())),
        ("that of another pipe", |dialogue| {
            dialogue.done_by_eof(0, order("q", 60));
        }),
        ("an old one", |dialogue| {
            dialogue.done_by_eof(0, order("p", -3601));
        }),
        ("none that waited", |dialogue| {
            dialogue.ended(0, A, How::End, 0);
        }),
        ("a waiting one of nobody", |dialogue| {
            dialogue.ended(0, A, How::Eof(Bytes::new()), 0);
        }),
        ("that of a pipe's other", |dialogue| {
            dialogue.ended(0, A, How::Eof(order("q", 0)), 0);
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
            let mut dialogue = listener(mode);
            tell(&mut dialogue);
            let code = match (mode, lie) {
                (Mode::Tap, "nothing") => closed(&mut dialogue),
                _ => dialogue.exit,
            };
            assert_eq!(code, Some(refused(mode, lie)), "{mode:?}, {lie}");
        }
        let mut dialogue = listener(mode);
        dialogue.done_by_eof(0, forged());
        assert_eq!(dialogue.exit, Some(1), "{mode:?}, a forged one");
        let mut dialogue = listener(mode);
        chunk(&mut dialogue, 0, A, 0, &sealer(A).seal(b"three of nine"));
        dialogue.done(1);
        let code = closed(&mut dialogue);
        assert_eq!(
            code,
            Some(refused(mode, "nothing")),
            "{mode:?}, inside a stream"
        );
    }
    // Only a default listener ends by this.
    let mut dialogue = listener(Mode::Follow);
    dialogue.ended(0, A, How::Proven(sealer(A).end()), 0);
    dialogue.done(1);
    assert_eq!(dialogue.exit, Some(1));
}

#[test]
fn rule_15_a_stream_that_begins_in_its_middle_says_who_had_its_beginning() {
    for (mode, code) in [(Mode::Default, 3), (Mode::Follow, 0)] {
        let mut dialogue = listener(mode);
        let mut sealer = sealer_at(A, 100);
        chunk(&mut dialogue, 0, A, 6500, &sealer.seal(b"late"));
        dialogue.ended(1, A, How::Proven(sealer.end()), 0);
        dialogue.done_by_eof(2, order("p", 60));
        assert_eq!(
            (closed(&mut dialogue), dialogue.printed()),
            (Some(code), "late"),
            "{mode:?}"
        );
        let said = &dialogue.notices[0];
        assert!(
            said.contains("after its first 100 bytes, which others read"),
            "{said}"
        );
        // The satellite withholds it, and claims that there is none.
        let mut dialogue = listener(mode);
        let mut sealer = sealer_at(A, 100);
        chunk(&mut dialogue, 0, A, 0, &sealer.seal(b"late"));
        dialogue.ended(1, A, How::Proven(sealer.end()), 0);
        assert_eq!(dialogue.exit, Some(1), "{mode:?}, a lie");
        // The satellite withholds all of it.
        let mut dialogue = listener(mode);
        dialogue.ended(0, A, How::Proven(sealer_at(A, 100).end()), 0);
        assert_eq!(dialogue.exit, Some(1), "{mode:?}, all of it");
    }
}

#[test]
fn rule_7_a_one_begins_with_the_first_byte() {
    for (mode, refused) in [(Mode::One, Some(1)), (Mode::Default, None)] {
        let mut dialogue = listener(mode);
        let mut sealer = sealer_at(A, 100);
        chunk(&mut dialogue, 0, A, 6500, &sealer.seal(b"late"));
        assert_eq!(dialogue.exit, refused, "{mode:?}");
    }
    let mut dialogue = listener(Mode::One);
    dialogue.ended(0, A, How::Proven(sealer_at(A, 100).end()), 0);
    assert_eq!(dialogue.exit, Some(1));
}

#[test]
fn rule_15_a_remainder_says_how_many_of_the_bytes_that_were_written_others_had() {
    let mut dialogue = listener(Mode::Default);
    let mut sealer = sealer_at(A, 1000);
    chunk(&mut dialogue, 0, A, 1064, &sealer.seal(b"rest"));
    dialogue.ended(1, A, How::Proven(sealer.end()), 1064);
    dialogue.done(2);
    dialogue.write_all();
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(3));
    assert!(
        dialogue.notices[0].contains("first 1000 bytes"),
        "{:?}",
        dialogue.notices
    );
}

#[test]
fn rule_16_what_a_restarted_satellite_sends_again_is_dropped() {
    let mut dialogue = listener(Mode::Default);
    let mut sealer = sealer(A);
    let (one, two) = (sealer.seal(b"one\n"), sealer.seal(b"two\n"));
    chunk(&mut dialogue, 0, A, 0, &one);
    chunk(&mut dialogue, 1, A, 0, &one);
    chunk(&mut dialogue, 2, A, 0, &[&one[..], &two[..]].concat());
    dialogue.write_all();
    assert_eq!((dialogue.printed(), dialogue.exit), ("one\ntwo\n", None));
}

#[test]
fn rule_9_a_tap_says_how_many_of_the_bytes_that_were_written_it_missed() {
    let mut dialogue = listener(Mode::Tap);
    let mut sealer = sealer(A);
    let wire = [&b"one\n"[..], &[b'x'; 1000], b"two\n"].map(|text| sealer.seal(text));
    chunk(&mut dialogue, 0, A, 0, &wire[0]);
    let at = (wire[0].len() + wire[1].len()) as u64;
    let chunk = Reply::Chunk {
        listener: OWN,
        seq: 1,
        stream: A,
        at,
        missed: wire[1].len() as u64,
    };
    dialogue.receive(&[MAGIC, &encode(&chunk), &wire[2]]);
    dialogue.write_all();
    dialogue.pass(std::time::Duration::from_secs(2));
    assert_eq!((dialogue.printed(), dialogue.exit), ("one\ntwo\n", None));
    assert!(
        dialogue.notices[0].contains("missed 1000 bytes"),
        "{:?}",
        dialogue.notices
    );
}

#[test]
fn a_listener_without_keys_does_not_print_what_is_sealed_as_if_it_were_whole() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.ended(0, A, How::Proven(sealer(A).end()), 0);
    assert_eq!(dialogue.exit, Some(1));
}

#[test]
fn rule_7_a_one_is_over_after_its_stream_and_not_before() {
    let mut dialogue = listener(Mode::One);
    let mut sealer = sealer(A);
    let wire = sealer.seal(b"half of a job\n");
    chunk(&mut dialogue, 0, A, 0, &wire);
    dialogue.done(1);
    assert_eq!(dialogue.exit, Some(1));
    let mut dialogue = listener(Mode::One);
    chunk(&mut dialogue, 0, A, 0, &wire);
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(1));
    let mut dialogue = listener(Mode::One);
    chunk(&mut dialogue, 0, A, 0, &wire);
    let others = self::sealer(B).seal(b"of another\n");
    chunk(&mut dialogue, 1, B, 0, &others);
    assert_eq!(dialogue.exit, Some(1));
}

#[test]
fn a_satellite_sends_no_more_than_it_was_asked_for() {
    let mut dialogue = listener(Mode::Default);
    let mut sealer = sealer(A);
    let mut at = 0;
    for seq in 0..40 {
        let wire = sealer.seal(&vec![b'x'; 1_000_000]);
        chunk(&mut dialogue, seq, A, at, &wire);
        at += wire.len() as u64;
        if dialogue.exit.is_some() {
            break;
        }
    }
    assert_eq!(dialogue.exit, Some(1));
    assert!(at < 20_000_000, "{at}");
}
