//! Each lie of a satellite, told to each kind of listener. No listener exits 0 except where
//! `docs/security.md` says so, none ends without a message, and none prints bytes that were not written at
//! that place.

use bytes::Bytes;
use skypipe::crypto::seal::OVERHEAD;
use skypipe_protocol::How;
use skypipe_protocol::seed::Seed;
use uuid::Uuid;

use crate::enemies::liar::{Liar, Sealed, Step, in_a_row, order, secret};

const PIPE: &str = "p";

/// The modes of listeners. (`--whole`, `--wait` and `-- COMMAND` are for writers.)
const MODES: [&str; 4] = ["-r", "--one", "--follow", "--tap"];

/// The plaintext bytes of a chunk, which has two records, and the number of chunks.
const PART: usize = 4096 - 2 * OVERHEAD;
const PARTS: usize = 9;

/// The exit code and the message of a listener.
type Ends = (i32, &'static str);

/// The outcome of most lies.
const BETRAYED: Ends = (1, "data from the satellite cannot be trusted: ");

/// A `--tap` lost the rest.
const LOST: Ends = (3, "it has lost the rest of the data");

/// A `--tap` reports missed bytes as if it had been too slow (rule 9).
const MISSED: Ends = (0, "this tap was too slow and missed ");

/// A lie that every mode detects.
const EVERYBODY: [Ends; 4] = [BETRAYED; 4];

fn all_but_one(tap: Ends) -> [Ends; 4] {
    [BETRAYED, BETRAYED, BETRAYED, tap]
}

fn lie(name: &'static str, script: Vec<Step>, ends: [Ends; 4]) -> Lie {
    Lie { name, script, ends }
}

/// A lie, and the outcome for each of [`MODES`].
struct Lie {
    name: &'static str,
    script: Vec<Step>,
    ends: [Ends; 4],
}

/// A sealed stream of nine parts, and a satellite that has it.
struct Scene {
    liar: Liar,
    parts: Vec<Vec<u8>>,
    stream: Sealed,
    /// Another stream in the same pipe, and one in another pipe.
    beside: Sealed,
    elsewhere: Sealed,
}

fn parts(name: char) -> Vec<Vec<u8>> {
    let lines = (0..).map(|number| format!("{name} {number:05}\n"));
    let text: Vec<u8> = lines
        .flat_map(String::into_bytes)
        .take(PARTS * PART)
        .collect();
    text.chunks(PART).map(<[u8]>::to_vec).collect()
}

impl Scene {
    fn new() -> Self {
        let mut liar = Liar::new();
        let parts = parts('a');
        let stream = liar.written(PIPE, parts.concat());
        assert_eq!(stream.chunks.len(), PARTS);
        let beside = liar.written(PIPE, self::parts('b').concat());
        let elsewhere = liar.written("another", self::parts('c').concat());
        Self {
            liar,
            parts,
            stream,
            beside,
            elsewhere,
        }
    }

    /// These chunks, at offsets as if they were the first ones.
    fn chunks(&self, places: &[usize]) -> Vec<Step> {
        let chunks = places
            .iter()
            .map(|place| self.stream.chunks[*place].clone());
        in_a_row(self.stream.id, 0, &chunks.collect::<Vec<_>>())
    }

    /// All chunks, with one replaced.
    fn with(&self, place: usize, chunk: Bytes) -> Vec<Step> {
        let mut chunks = self.stream.chunks.clone();
        chunks[place] = chunk;
        in_a_row(self.stream.id, 0, &chunks)
    }

    fn end(&self) -> Step {
        Step::Ended(self.stream.id, self.stream.how.clone())
    }

    /// These steps, the stream's own end, and the listener's end.
    fn to_the_end(&self, steps: Vec<Step>) -> Vec<Step> {
        [steps, vec![self.end(), self.liar.done(PIPE)]].concat()
    }

    fn altered(&self) -> Bytes {
        let mut chunk = self.stream.chunks[4].to_vec();
        chunk[100] ^= 1;
        chunk.into()
    }

    /// Checks that the printed parts were written, each at its place and once.
    #[track_caller]
    fn is_truth(&self, printed: &[u8]) {
        let mut next = 0;
        for part in printed.chunks(PART) {
            let rest = &self.parts[next..];
            let place = rest.iter().position(|it| it == part);
            next += 1 + place.expect("a part that was written, behind the one before");
        }
    }

    fn lies(&self) -> Vec<Lie> {
        let [first, second] = [self.kept_back(), self.false_ends()];
        let [third, fourth] = [self.false_eofs(), self.false_parts()];
        [first, second, third, fourth]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Lies that withhold parts of a stream.
    fn kept_back(&self) -> Vec<Lie> {
        let away: Vec<_> = self.stream.truly().split_off(4);
        vec![
            lie(
                "three of nine parts, and the end of all",
                [self.chunks(&[0, 1, 2]), vec![Step::Done]].concat(),
                all_but_one(LOST),
            ),
            lie(
                "the end of all in the middle, and then the rest",
                [
                    self.chunks(&[0, 1, 2]),
                    vec![Step::Done],
                    away.clone(),
                    vec![Step::Done],
                ]
                .concat(),
                all_but_one(LOST),
            ),
            lie(
                "three of nine parts, and the end of the stream",
                self.to_the_end(self.chunks(&[0, 1, 2])),
                all_but_one(MISSED),
            ),
            lie(
                "the last five parts alone, as if there were no others",
                self.to_the_end(self.chunks(&[4, 5, 6, 7, 8])),
                // It begins in the middle of streams.
                all_but_one((0, "an --eof by a member")),
            ),
            lie(
                "the last five parts, where they stand",
                [away, vec![self.liar.done(PIPE)]].concat(),
                [
                    (3, "which others read"),
                    BETRAYED,
                    (0, "which others read"),
                    (0, "an --eof by a member"),
                ],
            ),
            lie(
                "nothing, and the end of all",
                vec![Step::Done],
                all_but_one(LOST),
            ),
        ]
    }

    /// Lies about the end of a stream.
    fn false_ends(&self) -> Vec<Lie> {
        let all: Vec<usize> = (0..PARTS).collect();
        let nobody = |how| Step::Ended(Uuid::nil(), how);
        vec![
            lie(
                "the end of the stream alone",
                self.to_the_end(Vec::new()),
                all_but_one((0, "an --eof by a member")),
            ),
            lie(
                "an end of a stream that nobody wrote",
                vec![nobody(How::End), Step::Done],
                EVERYBODY,
            ),
            lie(
                "an end without its proof",
                [
                    self.chunks(&all),
                    vec![Step::Ended(self.stream.id, How::End), Step::Done],
                ]
                .concat(),
                EVERYBODY,
            ),
            lie(
                "the end of another stream",
                [
                    self.chunks(&all),
                    vec![
                        Step::Ended(self.stream.id, self.beside.how.clone()),
                        Step::Done,
                    ],
                ]
                .concat(),
                EVERYBODY,
            ),
            lie(
                "a cut that did not happen",
                [
                    self.chunks(&[0, 1, 2]),
                    vec![
                        Step::Ended(self.stream.id, How::Cut("invented".to_owned())),
                        self.liar.done(PIPE),
                    ],
                ]
                .concat(),
                [(3, "was cut: invented"); 4],
            ),
        ]
    }

    /// Lies about `--eof`: nobody gave it, or not for this pipe or at this time.
    fn false_eofs(&self) -> Vec<Lie> {
        let nobody = |how| Step::Ended(Uuid::nil(), how);
        let middle = (0, "inside 1 stream");
        vec![
            lie(
                "an --eof in the middle of a stream",
                [self.chunks(&[0, 1, 2]), vec![self.liar.done(PIPE)]].concat(),
                [(3, "inside 1 stream"), BETRAYED, middle, middle],
            ),
            lie(
                "an --eof that is none",
                vec![Step::DoneBy(Bytes::new())],
                EVERYBODY,
            ),
            lie(
                "an --eof that is made up",
                vec![Step::DoneBy(vec![7; 60].into())],
                EVERYBODY,
            ),
            lie(
                "an --eof of another pipe",
                vec![self.liar.done("another")],
                EVERYBODY,
            ),
            lie(
                "an --eof with the keys of others",
                vec![Step::DoneBy(order(&Seed::new(secret()), PIPE, 0))],
                EVERYBODY,
            ),
            lie(
                "an --eof from before the listener began",
                vec![Step::DoneBy(order(&self.liar.seed, PIPE, 7200))],
                EVERYBODY,
            ),
            lie(
                "an --eof that waited, which is none",
                vec![nobody(How::Eof(Bytes::new())), Step::Done],
                EVERYBODY,
            ),
            lie(
                "an --eof that waited, of another pipe",
                vec![
                    nobody(How::Eof(order(&self.liar.seed, "another", 0))),
                    Step::Done,
                ],
                EVERYBODY,
            ),
        ]
    }

    /// Lies about the content of parts.
    fn false_parts(&self) -> Vec<Lie> {
        let all: Vec<usize> = (0..PARTS).collect();
        vec![
            lie(
                "a part that is repeated",
                self.to_the_end(self.chunks(&[0, 1, 1, 2, 3, 4, 5, 6, 7, 8])),
                EVERYBODY,
            ),
            lie(
                "two parts that are swapped",
                self.to_the_end(self.chunks(&[0, 1, 3, 2, 4, 5, 6, 7, 8])),
                EVERYBODY,
            ),
            lie(
                "a part that is left out",
                self.to_the_end(self.chunks(&[0, 1, 3, 4, 5, 6, 7, 8])),
                all_but_one(MISSED),
            ),
            lie(
                "the last part left out",
                self.to_the_end(self.chunks(&all[..PARTS - 1])),
                all_but_one(MISSED),
            ),
            lie(
                "a part that was altered",
                self.to_the_end(self.with(4, self.altered())),
                EVERYBODY,
            ),
            lie(
                "a part that was never sealed",
                self.to_the_end(self.with(4, self.parts[4].clone().into())),
                EVERYBODY,
            ),
            lie(
                "a part of another stream",
                self.to_the_end(self.with(4, self.beside.chunks[4].clone())),
                EVERYBODY,
            ),
            lie(
                "a part of another pipe",
                self.to_the_end(self.with(4, self.elsewhere.chunks[4].clone())),
                EVERYBODY,
            ),
            lie(
                "a stream of another pipe",
                [self.elsewhere.truly(), vec![self.liar.done(PIPE)]].concat(),
                EVERYBODY,
            ),
            lie(
                "a stream under another one's name",
                [
                    in_a_row(self.beside.id, 0, &self.stream.chunks),
                    vec![
                        Step::Ended(self.beside.id, self.stream.how.clone()),
                        Step::Done,
                    ],
                ]
                .concat(),
                EVERYBODY,
            ),
        ]
    }

    /// Tells a lie to every mode of listener.
    #[track_caller]
    fn tell(&mut self, lie: &Lie) {
        for (mode, (code, sentence)) in MODES.into_iter().zip(lie.ends) {
            let outcome = self.liar.read(mode, PIPE, &lie.script);
            let name = lie.name;
            assert_eq!(outcome.code, Some(code), "{name}: {outcome}");
            assert!(outcome.stderr.contains(sentence), "{name}: {outcome}");
            self.is_truth(&outcome.stdout);
        }
    }
}

#[test]
fn no_listener_believes_a_lie() {
    let mut scene = Scene::new();
    for lie in scene.lies() {
        scene.tell(&lie);
    }
}

/// A client talks to it even without its identity. Then nobody has keys to open anything.
#[test]
fn no_listener_believes_a_satellite_that_does_not_say_who_it_is() {
    let mut scene = Scene::new();
    scene.liar.is_mute = true;
    let id = scene.stream.id;
    let plain: Vec<Bytes> = vec![scene.parts[0].clone().into()];
    let end = [Step::Ended(id, How::End), Step::Done];
    for script in [
        [in_a_row(id, 0, &plain), end.to_vec()].concat(),
        [scene.stream.truly(), vec![Step::Done]].concat(),
        vec![scene.liar.done(PIPE)],
    ] {
        for mode in MODES {
            let outcome = scene.liar.read(mode, PIPE, &script);
            assert_eq!(outcome.told(1, BETRAYED.1), b"", "{mode}");
        }
    }
}

#[test]
fn a_listener_that_is_told_that_rests_passed_by_does_not_exit_with_0() {
    let mut scene = Scene::new();
    scene.liar.missed = 1;
    let end = vec![scene.liar.done(PIPE)];
    let whole = [scene.stream.truly(), end.clone()].concat();
    let begun = [scene.chunks(&[0, 1, 2]), vec![Step::Done]].concat();
    for (script, codes) in [
        (end, [3, 1, 3, 0]),
        (whole, [3, 3, 3, 0]),
        (begun, [3, 1, 1, 0]),
    ] {
        for (mode, code) in MODES.into_iter().zip(codes) {
            let outcome = scene.liar.read(mode, PIPE, &script);
            assert_eq!(outcome.code, Some(code), "{outcome}");
            assert!(
                outcome.stderr.contains("was disconnected and missed"),
                "{outcome}"
            );
            scene.is_truth(&outcome.stdout);
        }
    }
}
