//! The valid data of a connection: greetings, handshakes and framed messages of ZMTP.

use skypipe_broker::v01;
use skypipe_protocol::{MAGIC, encode};
use uuid::Uuid;

use crate::common::chance::Chance;
use crate::peers::hostile::requests;

/// The flags of a frame (RFC 23).
pub const LAST: u8 = 0;
pub const MORE: u8 = 1;
pub const LONG: u8 = 2;
pub const COMMAND: u8 = 4;

/// A version of ZMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The version before version numbers existed.
    V1,
    V2,
    V3,
    V31,
}

/// The newest version comes three times as often, because it has the most messages.
pub const VERSIONS: [Version; 6] = [
    Version::V1,
    Version::V2,
    Version::V3,
    Version::V31,
    Version::V31,
    Version::V31,
];

impl Version {
    /// Whether the peer must wait for an answer to its handshake.
    pub fn answers(self) -> bool {
        matches!(self, Self::V3 | Self::V31)
    }
}

/// The first bytes of a peer.
pub fn greeting(version: Version) -> Vec<u8> {
    let signature = [&[0xff_u8][..], &[0; 7], &[1, 0x7f]].concat();
    let null = [&b"NULL"[..], &[0; 16], &[0; 32]].concat();
    match version {
        Version::V1 => Vec::new(),
        // The socket type of a DEALER.
        Version::V2 => [&signature[..], &[1, 5]].concat(),
        Version::V3 => [&signature[..], &[3, 0], &null].concat(),
        Version::V31 => [&signature[..], &[3, 1], &null].concat(),
    }
}

/// The next bytes of a peer of this socket type, perhaps with a name that the peer gives itself.
pub fn handshake(chance: &mut Chance, version: Version, socket: &[u8]) -> Vec<u8> {
    let names: [&[u8]; 4] = [b"", b"name", b"\0\0\0\0\x01", &[b'n'; 255]];
    let name = chance.of_these(&names);
    if !version.answers() {
        return frame(version, LAST, name);
    }
    let ready = [
        &b"\x05READY"[..],
        &property(b"Socket-Type", socket),
        &property(b"Identity", name),
    ];
    frame(version, COMMAND, &ready.concat())
}

fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
    let (name_len, len) = (name.len().to_be_bytes()[7], value.len().to_be_bytes());
    [&[name_len][..], name, &len[4..], value].concat()
}

/// A frame in this version's form.
pub fn frame(version: Version, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let head = match (version, u8::try_from(len)) {
        (Version::V1, Ok(short)) if short < 0xfe => vec![short + 1, flags & MORE],
        (Version::V1, _) => [
            &[0xff][..],
            &(len as u64 + 1).to_be_bytes(),
            &[flags & MORE],
        ]
        .concat(),
        (_, Ok(short)) => vec![flags, short],
        (_, Err(_)) => [&[flags | LONG][..], &(len as u64).to_be_bytes()].concat(),
    };
    [&head, payload].concat()
}

/// The frames of a message.
pub fn message(version: Version, frames: &[Vec<u8>]) -> Vec<u8> {
    let last = frames.len().saturating_sub(1);
    let flags = |index| if index < last { MORE } else { LAST };
    let numbered = frames.iter().enumerate();
    numbered
        .flat_map(|(index, payload)| frame(version, flags(index), payload))
        .collect()
}

/// What an admitted client sends: the frames of a message, or a ZMTP command.
pub enum Said {
    Message(Vec<Vec<u8>>),
    Command(Vec<u8>),
}

impl Said {
    pub fn by_a_client(chance: &mut Chance) -> Self {
        match chance.below(8) {
            0 => Self::Command(command(chance)),
            1 | 2 => Self::Message(old_message(chance)),
            _ => Self::Message(new_message(chance)),
        }
    }

    /// The parts that can be mutated.
    pub fn parts(&mut self) -> Vec<&mut Vec<u8>> {
        match self {
            Self::Message(frames) => frames.iter_mut().collect(),
            Self::Command(command) => vec![command],
        }
    }

    pub fn framed(&self, version: Version) -> Vec<u8> {
        match self {
            Self::Message(frames) => message(version, frames),
            Self::Command(command) => frame(version, COMMAND, command),
        }
    }
}

pub fn command(chance: &mut Chance) -> Vec<u8> {
    let commands: [&[u8]; 6] = [
        b"\x04PING\0\x0a",
        b"\x04PING\xff\xffwith a context of",
        b"\x04PONGa context",
        b"\x09SUBSCRIBEall",
        b"\x06CANCELall",
        b"\x05ERROR\x03300",
    ];
    chance.of_these(&commands).to_vec()
}

/// A request of one of a few clients about one of a few streams, so that its effects stay small.
fn new_message(chance: &mut Chance) -> Vec<Vec<u8>> {
    let stream = Uuid::from_u64_pair(0xf0_22, chance.below(4) as u64);
    let listener = Uuid::from_u64_pair(0xf0_23, chance.below(4) as u64);
    let requests = requests(stream, listener, "fuzz");
    // All but the last request, which would stop the satellite. `Hello` comes more often than others.
    let place = chance.below(requests.len() + 3) % (requests.len() - 1);
    let mut frames = vec![MAGIC.to_vec(), encode(&requests[place])];
    if chance.below(3) == 0 {
        let length = chance.below(400);
        frames.push(chance.bytes(length));
    }
    frames
}

fn old_message(chance: &mut Chance) -> Vec<Vec<u8>> {
    let frames: &[&[u8]] = match chance.below(5) {
        0 => &[b"HELLO"],
        1 => &[b"LISTEN", b"fuzz"],
        2 => &[b"UNLISTEN", b"fuzz"],
        3 => &[b"DATA", b"fuzz", b"a line\n"],
        _ => &[b"DATA", b"fuzz", b""],
    };
    let frames = frames.iter().map(|frame| frame.to_vec());
    [v01::MAGIC.to_vec()].into_iter().chain(frames).collect()
}
