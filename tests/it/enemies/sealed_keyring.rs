//! A satellite that lies about its clients' keys, or about what it accepts.

use bytes::Bytes;
use skypipe::crypto::{Keyring, sealed_keyring};
use skypipe_protocol::How;
use skypipe_protocol::seed::{Pair, Seed};
use skypipe_protocol::token::Kind;

use crate::enemies::liar::{Liar, Sealed, Step, own_key, secret};

const PIPE: &str = "p";
const LINE: &str = "a line\n";

/// A client's message about an invalid keyring from the satellite.
const NO_GOOD: &str = "the satellite's keys for this machine are invalid";

/// A guest of the owner, at a dishonest satellite.
struct Story {
    liar: Liar,
    owner: Keyring,
    managing: Pair,
    guest: Seed,
}

impl Story {
    fn new() -> Self {
        let mut liar = Liar::new();
        let owner = Keyring::owner(&liar.seed);
        let managing = liar.seed.managing();
        let guest = Seed::new(secret());
        let kind = Kind::Keyring {
            managing: managing.public,
        };
        let invitation = liar.invitation(guest.clone(), kind);
        liar.environment.leads_to(&invitation);
        Self {
            liar,
            owner,
            managing,
            guest,
        }
    }

    fn renewed(keyring: &Keyring) -> Keyring {
        let random = [*secret().as_bytes(), *secret().as_bytes()].concat();
        let random = random.try_into().expect("it has 64 bytes");
        keyring.renewed(&random).expect("it is a manager's")
    }

    /// A sealed keyring with these keys for the guest.
    fn sealed(&self, keyring: &Keyring) -> Bytes {
        seal(&keyring.for_reader(), &self.guest, &self.managing)
    }

    /// From now on the satellite gives the guest this sealed keyring.
    fn gives(&mut self, sealed_keyring: Option<Bytes>) {
        self.liar.key = Some(own_key(sealed_keyring));
    }
}

fn seal(keyring: &Keyring, to: &Seed, managing: &Pair) -> Bytes {
    let sealed_keyring =
        sealed_keyring::seal(keyring, &to.encryption().public, managing, &secret());
    sealed_keyring.expect("the keys are good").into()
}

/// The epochs for which the records of a stream claim to be sealed.
fn epochs(stream: &Sealed) -> Vec<u8> {
    stream.chunks.iter().map(|chunk| chunk[7]).collect()
}

#[test]
fn a_sealed_keyring_that_the_manager_made_is_taken() {
    let mut story = Story::new();
    story.gives(Some(story.sealed(&story.owner)));
    let stream = story.liar.written(PIPE, LINE);
    let script = [stream.truly(), vec![Step::Done]].concat();
    story.liar.read("-r", PIPE, &script).printed(LINE);
}

#[test]
fn a_sealed_keyring_that_is_made_up_or_somebody_elses_is_refused() {
    let mut story = Story::new();
    let another = Seed::new(secret());
    let good = story.sealed(&story.owner);
    let mut changed = good.to_vec();
    changed[100] ^= 1;
    let keyring = story.owner.for_reader();
    let enemy = Seed::new(secret());
    let bad = [
        Bytes::from_static(b"made up"),
        vec![1; 300].into(),
        changed.into(),
        good.slice(..good.len() - 1),
        seal(&keyring, &another, &story.managing),
        seal(
            &Keyring::owner(&enemy).for_reader(),
            &story.guest,
            &enemy.managing(),
        ),
    ];
    for bad in bad {
        story.gives(Some(bad));
        let wrote = story.liar.write(PIPE, LINE);
        wrote.told(1, NO_GOOD);
        let read = story.liar.read("-r", PIPE, &[Step::Done]);
        assert_eq!(read.told(1, NO_GOOD), b"");
    }
    story.gives(None);
    story
        .liar
        .write(PIPE, LINE)
        .told(1, "has no key to its pipes");
}

#[test]
fn a_welcome_without_a_key_is_refused() {
    let mut story = Story::new();
    story.liar.key = None;
    let sentence = "has no keys, but your invitation is";
    story.liar.write(PIPE, LINE).told(1, sentence);
    let read = story.liar.read("-r", PIPE, &[Step::Done]);
    assert_eq!(read.told(1, sentence), b"");
}

#[test]
fn an_older_sealed_keyring_takes_nothing_back_from_who_runs() {
    let mut story = Story::new();
    let newer = Story::renewed(&story.owner);
    let old = story.sealed(&story.owner);
    let new = story.sealed(&newer);
    story.gives(Some(new));
    story.liar.sealed_keyring = Some(old.clone());
    let long = "a long line\n".repeat(1000);
    let stream = story.liar.written(PIPE, &long);
    assert!(stream.chunks.len() > 1);
    assert_eq!(epochs(&stream), vec![1; stream.chunks.len()]);
    let script = [
        vec![Step::SealedKeyring(old)],
        stream.truly(),
        vec![Step::Done],
    ]
    .concat();
    story.liar.read("-r", PIPE, &script).printed(&long);
}

#[test]
fn a_newer_sealed_keyring_is_gone_over_to_and_a_made_up_one_ends_it() {
    let mut story = Story::new();
    let newer = Story::renewed(&story.owner);
    story.gives(Some(story.sealed(&newer)));
    let stream = story.liar.written(PIPE, LINE);
    let script = [stream.truly(), vec![Step::Done]].concat();
    story.gives(Some(story.sealed(&story.owner)));
    let read = story.liar.read("-r", PIPE, &script);
    read.told(1, "reading key 1, which this machine does not have");
    let sealed_keyring = Step::SealedKeyring(story.sealed(&newer));
    let told = [&[sealed_keyring][..], &script].concat();
    story.liar.read("-r", PIPE, &told).printed(LINE);
    let made_up = [
        Step::SealedKeyring(Bytes::from_static(b"made up")),
        Step::Done,
    ];
    story.liar.read("-r", PIPE, &made_up).told(1, NO_GOOD);
}

#[test]
fn a_satellite_that_takes_no_sealed_record_is_told_as_such() {
    let mut liar = Liar::new();
    for chunk in [0, 1, 4095] {
        liar.chunk = chunk;
        let wrote = liar.write(PIPE, LINE);
        wrote.told(1, "chunks are too short for a sealed record");
    }
}

#[test]
fn a_writer_survives_whatever_it_is_told_of_credit() {
    let mut liar = Liar::new();
    let text = "a line among many\n".repeat(1000);
    liar.credit = u64::MAX;
    let stream = liar.written(PIPE, &text);
    assert!(matches!(stream.how, How::Proven(_)));
    // The satellite claims to have bytes that were never sent.
    liar.boast = u64::MAX;
    liar.written(PIPE, &text);
    // The credit is too small for a record, and no more comes. The writer waits until its timeout.
    liar.boast = 0;
    liar.credit = 0;
    let waiting = ["--timeout", "1s", "-w", PIPE];
    let writer = liar.environment.skypipe(&waiting).piped().start();
    writer.say(&text);
    writer.close_stdin();
    liar.serve(writer)
        .told(124, "timed out: no confirmation from");
    liar.credit = u64::MAX;
    for expected in [1, 5000, u64::MAX] {
        liar.expected = expected;
        let wrote = liar.write(PIPE, &text);
        wrote.told(
            3,
            "the satellite resumed the stream at an impossible position",
        );
    }
}
