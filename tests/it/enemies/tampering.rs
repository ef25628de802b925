//! A listener notices a satellite that alters data: it prints nothing that was not written at that place,
//! says so, and fails (exit 1). The tests also show what goes unnoticed.

use bytes::Bytes;
use skypipe::crypto::seal::{MOST_PLAIN, OVERHEAD};
use skypipe_protocol::How;
use uuid::Uuid;

use crate::enemies::liar::{Liar, Sealed, Step, in_a_row};

const PIPE: &str = "p";

/// The plaintext bytes of a chunk, which has two records.
const PART: usize = 4096 - 2 * OVERHEAD;

/// The number of full chunks. A shorter one follows.
const CHUNKS: usize = 5;

/// The modes that take data; a tap only watches.
const TAKERS: [&str; 3] = ["-r", "--one", "--follow"];
const ALL: [&str; 4] = ["-r", "--one", "--follow", "--tap"];

/// Lines that contain their position.
fn text(name: char) -> Vec<u8> {
    let lines = (0..).map(|number| format!("{name} {number:05}\n"));
    let bytes = lines.flat_map(String::into_bytes);
    bytes.take(PART * CHUNKS + 800).collect()
}

/// A dishonest satellite, and a stream that was written to it.
struct Story {
    liar: Liar,
    text: Vec<u8>,
    stream: Sealed,
}

impl Story {
    fn new() -> Self {
        let mut liar = Liar::new();
        let text = text('a');
        let stream = liar.written(PIPE, &text);
        let lengths: Vec<_> = stream.chunks.iter().map(Bytes::len).collect();
        assert_eq!(lengths[..CHUNKS], [4096; CHUNKS]);
        assert_eq!(lengths[CHUNKS..], [800 + OVERHEAD]);
        assert!(matches!(stream.how, How::Proven(_)), "{:?}", stream.how);
        Self { liar, text, stream }
    }

    fn id(&self) -> Uuid {
        self.stream.id
    }

    /// Listeners in these modes are sent this script, and the end behind it. Each must notice the lie after
    /// printing at most the first `good` chunks.
    #[track_caller]
    fn is_noticed(&mut self, modes: &[&str], script: &[Step], good: usize) {
        let done = self.liar.done(PIPE);
        let end = [Step::Ended(self.id(), self.stream.how.clone()), done];
        self.is_noticed_without_end(modes, &[script, &end].concat(), good);
    }

    #[track_caller]
    fn is_noticed_without_end(&mut self, modes: &[&str], script: &[Step], good: usize) {
        for mode in modes {
            let outcome = self.liar.read(mode, PIPE, script);
            let printed = outcome.told(1, "data from the satellite cannot be trusted: ");
            let most = good * PART;
            let is_true = printed.len() <= most && self.text.starts_with(&printed);
            assert!(is_true, "{mode} printed {} bytes", printed.len());
        }
    }

    /// The chunks with this change.
    fn with(&self, change: impl FnOnce(&mut Vec<Bytes>)) -> Vec<Step> {
        let mut chunks = self.stream.chunks.clone();
        change(&mut chunks);
        in_a_row(self.id(), 0, &chunks)
    }
}

#[test]
fn what_is_handed_on_as_it_was_written_is_believed() {
    let mut story = Story::new();
    let script = [story.stream.truly(), vec![Step::Done]].concat();
    for mode in ["-r", "--one", "--tap"] {
        let outcome = story.liar.read(mode, PIPE, &script);
        outcome.printed(&story.text);
    }
    let script = [story.stream.truly(), vec![story.liar.done(PIPE)]].concat();
    for mode in ["-r", "--follow", "--tap"] {
        let outcome = story.liar.read(mode, PIPE, &script);
        assert!(
            outcome.told(0, "an --eof by a member at 20") == story.text,
            "{mode}"
        );
    }
}

#[test]
fn a_chunk_that_was_changed_is_noticed() {
    let mut story = Story::new();
    // Suite, kind, length, epoch, position, key, ciphertext and tag of a record.
    let length = story.stream.chunks[2].len();
    for place in [0, 1, 3, 7, 15, 16, 47, 48, 1000, length - 1] {
        let script = story.with(|chunks| {
            let mut chunk = chunks[2].to_vec();
            chunk[place] ^= 1;
            chunks[2] = chunk.into();
        });
        story.is_noticed(&["-r"], &script, 2);
    }
    let script = story.with(|chunks| chunks[2] = vec![7; 4096].into());
    story.is_noticed(&ALL, &script, 2);
}

#[test]
fn a_chunk_that_was_shortened_is_noticed() {
    let mut story = Story::new();
    for length in [1, OVERHEAD, 2000] {
        let script = story.with(|chunks| chunks[2].truncate(length));
        story.is_noticed(&["-r"], &script, 2);
    }
    let script = story.with(|chunks| chunks[2].truncate(4095));
    story.is_noticed(&ALL, &script, 2);
    // A whole record counts as a chunk. The record after it is missing.
    let script = story.with(|chunks| chunks[2].truncate(OVERHEAD + MOST_PLAIN));
    story.is_noticed(&TAKERS, &script, 3);
}

#[test]
fn a_chunk_that_was_left_out_is_noticed() {
    let mut story = Story::new();
    let closed_up = story.with(|chunks| drop(chunks.remove(2)));
    story.is_noticed(&TAKERS, &closed_up, 2);
    let last = story.with(|chunks| drop(chunks.pop()));
    story.is_noticed(&TAKERS, &last, CHUNKS);
    let mut gap = story.with(|_| {});
    gap.remove(2);
    story.is_noticed(&TAKERS, &gap, 2);
    // A `--one` accepts a stream only from its first byte.
    let first = story.with(|chunks| drop(chunks.remove(0)));
    story.is_noticed(&["--one"], &first, 0);
    let mut first = story.with(|_| {});
    first.remove(0);
    story.is_noticed(&["--one"], &first, 0);
}

#[test]
fn a_tap_is_told_of_a_chunk_that_was_left_out() {
    let mut story = Story::new();
    let mut script = story.with(|chunks| drop(chunks.remove(2)));
    script.push(Step::Ended(story.id(), story.stream.how.clone()));
    script.push(Step::Done);
    let outcome = story.liar.read("--tap", PIPE, &script);
    let printed = outcome.told(0, &format!("missed {PART} bytes"));
    let whole = [&story.text[..2 * PART], &story.text[3 * PART..]];
    assert!(printed == whole.concat());
}

#[test]
fn chunks_that_were_moved_or_repeated_are_noticed() {
    let mut story = Story::new();
    let swapped = story.with(|chunks| chunks.swap(2, 3));
    story.is_noticed(&TAKERS, &swapped, 2);
    let repeated = story.with(|chunks| chunks.insert(3, chunks[2].clone()));
    story.is_noticed(&ALL, &repeated, 3);
    let again = story.with(|chunks| chunks.extend(chunks.clone()));
    story.is_noticed(&ALL, &again, CHUNKS + 1);
}

#[test]
fn a_chunk_of_another_stream_or_another_pipe_is_noticed() {
    let mut story = Story::new();
    for pipe in [PIPE, "another"] {
        let other = story.liar.written(pipe, text('b'));
        let script = story.with(|chunks| chunks[2] = other.chunks[2].clone());
        story.is_noticed(&ALL, &script, 2);
        let script = story.with(|chunks| chunks[0] = other.chunks[0].clone());
        story.is_noticed(&ALL, &script, 0);
    }
    // A whole stream in another pipe, or under another UUID.
    let other = story.liar.written("another", text('a'));
    story.is_noticed_without_end(&ALL, &other.truly(), 0);
    let mut renamed = story.stream.clone();
    renamed.id = Uuid::new_v4();
    story.is_noticed_without_end(&ALL, &renamed.truly(), 0);
}

#[test]
fn an_end_that_comes_early_or_is_another_ones_is_noticed() {
    let mut story = Story::new();
    let begun = story.with(|chunks| chunks.truncate(3));
    // The record is authentic, but its position is wrong.
    story.is_noticed(&TAKERS, &begun, 3);
    let ends = |script: &[Step], how: How| {
        let end = Step::Ended(story.stream.id, how);
        [script, &[end, Step::Done]].concat()
    };
    let all = story.with(|_| {});
    let other = story.liar.written(PIPE, text('b')).how;
    let How::Proven(proof) = story.stream.how.clone() else {
        unreachable!("it was written to the end");
    };
    let mut changed = proof.to_vec();
    changed[60] ^= 1;
    let chunk = story.stream.chunks[0].slice(..OVERHEAD);
    let proofs = [
        other,
        How::End,
        How::Proven(Bytes::new()),
        How::Proven(changed.into()),
        How::Proven(proof.slice(..63)),
        How::Proven(chunk),
    ];
    let scripts: Vec<_> = proofs
        .into_iter()
        .flat_map(|how| [ends(&begun, how.clone()), ends(&all, how)])
        .collect();
    for script in scripts {
        story.is_noticed_without_end(&["--tap", "--one"], &script, CHUNKS + 1);
    }
}

#[test]
fn a_stream_for_one_listener_whose_end_is_withheld_is_noticed() {
    let mut story = Story::new();
    for count in [0, 1, 3, CHUNKS + 1] {
        let mut script = story.with(|chunks| chunks.truncate(count));
        script.push(Step::Done);
        story.is_noticed_without_end(&["--one"], &script, count);
    }
}

#[test]
fn a_cut_that_the_satellite_invents_is_told_as_any() {
    let mut story = Story::new();
    let mut script = story.with(|chunks| chunks.truncate(3));
    script.push(Step::Ended(story.id(), How::Cut("invented".to_owned())));
    for mode in ALL {
        let end = match mode {
            "--follow" => story.liar.done(PIPE),
            _ => Step::Done,
        };
        let outcome = story.liar.read(mode, PIPE, &[&script[..], &[end]].concat());
        assert!(outcome.stderr.contains("cut: invented"), "{outcome}");
        assert_eq!(outcome.code, Some(3), "{outcome}");
        assert!(outcome.stdout == story.text[..3 * PART], "{mode}");
    }
}

#[test]
fn a_stream_that_is_shown_again_to_the_same_listener_is_printed_once() {
    let mut story = Story::new();
    let truly = story.stream.truly();
    let twice = [&truly[..], &truly, &[story.liar.done(PIPE)]].concat();
    for mode in ["-r", "--follow", "--tap"] {
        story
            .liar
            .read(mode, PIPE, &twice)
            .ended_by_eof(&story.text);
    }
    // Data after the end is no part of the stream.
    let more = in_a_row(story.id(), story.stream.len(), &story.stream.chunks);
    let script = [truly, more, vec![Step::Done]].concat();
    story.is_noticed_without_end(&["-r", "--follow", "--tap"], &script, CHUNKS + 1);
}

/// Rules 6 and 15: none of these cases exits 0 or stays silent.
#[test]
fn an_end_that_nobody_gave_and_a_beginning_that_is_kept_back_are_noticed() {
    let mut story = Story::new();
    let endless = ["-r", "--follow", "--tap"];
    // A whole stream is withheld, as if nobody had written it; or a stream ends in its middle.
    for count in [0, 3] {
        let mut script = story.with(|chunks| chunks.truncate(count));
        script.push(Step::Done);
        story.is_noticed_without_end(&["-r", "--follow"], &script, count);
        // A tap may have missed the rest, and says so.
        let outcome = story.liar.read("--tap", PIPE, &script);
        let printed = outcome.told(3, "it has lost the rest of the data");
        assert!(printed == story.text[..count * PART]);
    }
    // An `--eof` that nobody gave, for this listener or earlier ones.
    let marker = |order: Bytes| [Step::Ended(Uuid::nil(), How::Eof(order)), Step::Done];
    story.is_noticed_without_end(&endless, &[Step::DoneBy(Bytes::new())], 0);
    story.is_noticed_without_end(&endless, &marker(Bytes::new()), 0);
    let nobody = [Step::Ended(Uuid::nil(), How::End), Step::Done];
    story.is_noticed_without_end(&ALL, &nobody, 0);
    // The attestation of another pipe.
    let Step::DoneBy(other) = story.liar.done("another") else {
        unreachable!("it is an end");
    };
    story.is_noticed_without_end(&endless, &[Step::DoneBy(other.clone())], 0);
    story.is_noticed_without_end(&endless, &marker(other), 0);
    // Only an `--eof` ends a follower.
    let script = [story.stream.truly(), vec![Step::Done]].concat();
    story.is_noticed_without_end(&["--follow"], &script, CHUNKS + 1);
    // A withheld beginning, as if there were none; everything but the end; and data that is claimed to be
    // others'.
    let headless = story.with(|chunks| drop(chunks.remove(0)));
    let mut whole = story.stream.truly();
    let end = whole.pop().expect("it has an end");
    let done = story.liar.done(PIPE);
    for mode in ["-r", "--follow"] {
        let script = [&headless[..], &[end.clone(), done.clone()]].concat();
        let outcome = story.liar.read(mode, PIPE, &script);
        outcome.told(1, "the satellite names no reader of its beginning");
        let outcome = story.liar.read(mode, PIPE, &[end.clone(), done.clone()]);
        outcome.told(1, "the satellite names no reader of its beginning");
    }
    whole.remove(0);
    let script = [whole, vec![end, Step::Done]].concat();
    let outcome = story.liar.read("-r", PIPE, &script);
    let rest = outcome.told(
        3,
        &format!("after its first {PART} bytes, which others read"),
    );
    assert!(rest == story.text[PART..]);
}

/// `docs/security.md` says so: a satellite can withhold or replay whole streams, and replay an `--eof`.
#[test]
fn what_goes_unnoticed_are_whole_streams_that_are_withheld_or_shown_again() {
    let mut story = Story::new();
    let script = [story.stream.truly(), vec![Step::Done]].concat();
    for _ in 0..2 {
        story.liar.read("--one", PIPE, &script).printed(&story.text);
    }
    // The `--eof` of a pipe, replayed to the next listener. The message says when it was given.
    let script = [story.liar.done(PIPE)];
    for _ in 0..2 {
        story.liar.read("-r", PIPE, &script).ended_by_eof("");
    }
}
