//! The forms of commands, and what is refused.

use super::*;

#[test]
fn commands_survive_the_wire() {
    let data = Request::Data(Data {
        stream: Uuid::from_u128(7),
        at: 3,
        tail: 0,
        requested: 9,
    });
    assert_eq!(decode::<Request>(&encode(&data)), Ok(data));
    assert_eq!(
        decode::<Request>(&encode(&Request::Ping)),
        Ok(Request::Ping)
    );
    let how = Request::Finish(Finish {
        stream: Uuid::nil(),
        len: 1,
        how: How::Cut("gone".into()),
    });
    assert_eq!(decode::<Request>(&encode(&how)), Ok(how));
}

#[test]
fn the_message_in_the_specification_is_what_it_says() {
    let bytes = [
        &b"\x81\xa4Data\x84\xa6stream\xc4\x10\x6b\xa7\xb8\x10\x9d\xad\x41\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8"[..],
        b"\xa2at\x00\xa4tail\x00\xa9requested\xcd\x01\x06",
    ];
    let data = Request::Data(Data {
        stream: "6ba7b810-9dad-41d1-80b4-00c04fd430c8".parse().unwrap(),
        at: 0,
        tail: 0,
        requested: 262,
    });
    assert_eq!(encode(&data), bytes.concat());
    assert_eq!(encode(&Request::Ping), b"\xa4Ping");
    let how = How::Cut("why".to_owned());
    assert_eq!(encode(&how), b"\x81\xa3Cut\xa3why");
    assert_eq!(encode(&Reply::Phrase(None)), b"\x81\xa6Phrase\xc0");
    assert_eq!(encode(&Some((1_u64, 300_u64))), b"\x92\x01\xcd\x01\x2c");
}

#[test]
fn a_command_frame_is_as_small_as_said() {
    let data = Request::Data(Data {
        stream: Uuid::nil(),
        at: u64::MAX,
        tail: u64::MAX,
        requested: 0,
    });
    assert!(encode(&data).len() < 80, "{}", encode(&data).len());
}

#[test]
fn an_unknown_field_is_skipped() {
    #[derive(Serialize)]
    enum Newer {
        Close { stream: Uuid, colour: &'static str },
    }
    let newer = encode(&Newer::Close {
        stream: Uuid::nil(),
        colour: "blue",
    });
    assert_eq!(
        decode::<Request>(&newer),
        Ok(Request::Close {
            stream: Uuid::nil()
        })
    );
}

#[test]
fn a_full_page_of_a_listing_fits_a_command() {
    let pipe = PipeInfo {
        name: "n".repeat(MAX_NAME),
        waiting: u64::MAX,
        bytes: u64::MAX,
        writers: u64::MAX,
        listeners: u64::MAX,
        full: true,
    };
    let page = Reply::Pipes {
        pipes: vec![pipe; MAX_PAGE],
        more: true,
    };
    assert!(encode(&page).len() <= MAX_COMMAND);
}

/// A connection without credit takes no longer frame, and who resumes or renews keys may have none.
#[test]
fn every_command_fits_a_free_frame() {
    let progress = Progress {
        stream: Uuid::max(),
        at: u64::MAX,
        ended: true,
    };
    let listen = Request::Listen(Listen {
        listener: Uuid::max(),
        pipe: "n".repeat(MAX_NAME),
        mode: Mode::Default,
        window: u64::MAX,
        resume: Some(Resume {
            next_seq: u64::MAX,
            cost: u64::MAX,
            line: Some(OpenLine {
                stream: Uuid::max(),
                at: u64::MAX,
            }),
            streams: vec![progress; MAX_PROGRESS],
        }),
    });
    let long = |len: usize| Bytes::from(vec![0xff; len]);
    let phrase = Request::SetPhrase {
        epoch: u32::MAX,
        phrase: Some(Phrase {
            wrapped: long(MAX_KEYRING),
            encryption: PublicKey([0xff; 32]),
            sealed_keyring: long(MAX_KEYRING),
            attestation: long(MAX_ATTESTATION),
        }),
    };
    let invite = Request::Invite(NewKey {
        name: "n".repeat(MAX_KEY_NAME),
        public: PublicKey([0xff; 32]),
        encryption: PublicKey([0xff; 32]),
        rights: Rights::ALL,
        pipes: vec!["n".repeat(MAX_PATTERN); MAX_PATTERNS],
        expires: Some(u64::MAX),
        quota: Some(u64::MAX),
        epoch: u32::MAX,
        sealed_keyring: Some(long(MAX_KEYRING)),
        attestation: Some(long(MAX_ATTESTATION)),
    });
    for command in [listen, phrase, invite] {
        let len = encode(&command).len();
        assert!(len <= MAX_COMMAND, "{len}: {command:?}");
    }
}

#[test]
fn names_are_checked() {
    assert!(name_fault(&"x".repeat(255)).is_none());
    assert!(name_fault(&"x".repeat(256)).is_some());
    assert!(name_fault("tab\there").is_some());
    assert!(name_fault("größe/日本").is_none());
}
