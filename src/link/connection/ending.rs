//! What the monitor tells of a connection: that it is whole, or why it has ended.
//!
//! Owns the meaning of libzmq's events. Never decides what is to be done about them. Seen with real
//! sockets, a number behind an event being its value:
//!
//! | what is there | event that ends the connection |
//! | --- | --- |
//! | nobody | `CONNECT_RETRIED` |
//! | a program of another kind | `NO_DETAIL` (32: it closed; else: time is over) or `PROTOCOL` |
//! | a CURVE satellite, and we are plain | `PROTOCOL` (`0x1100_0002`), or `NO_DETAIL` (32, 104) |
//! | a plain satellite, and we are CURVE | `PROTOCOL` (`0x1100_0002`), or `NO_DETAIL` (32, 104) |
//! | the satellite, which refuses our key | `AUTH` (400) |
//! | a CURVE satellite with another key | `NO_DETAIL` (32, 104) |
//! | a proxy whose satellite is down | `NO_DETAIL` (32, 104) |
//! | the satellite, killed in the handshake | `NO_DETAIL` (32, 104) |
//!
//! The third and fourth are a race: each side greets in several steps, and whichever is the first to
//! see the other's mechanism hangs up, perhaps before it has said its own.

use std::time::{Duration, Instant};

use zmq::SocketEvent;

/// The events that say how a connection fares.
pub(super) const EVENTS: [SocketEvent; 7] = [
    SocketEvent::CONNECTED,
    SocketEvent::HANDSHAKE_SUCCEEDED,
    SocketEvent::DISCONNECTED,
    SocketEvent::CONNECT_RETRIED,
    SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
    SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
    SocketEvent::HANDSHAKE_FAILED_AUTH,
];

/// `ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC`: what was to prove the other end's key does not.
const CRYPTOGRAPHIC: u32 = 0x1100_0001;
/// `ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH`.
const MECHANISM_MISMATCH: u32 = 0x1100_0002;
/// The answer of a satellite that does not know a key; others are troubles of its own.
const UNKNOWN_KEY: u32 = 400;

/// What an event says of a connection whose handshake is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The other end's system has accepted the connection.
    Connected,
    /// The handshake has succeeded.
    Whole,
    /// The connection has ended, or was never made.
    Over(Ending),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was whole, and broke.
    Broke,
    /// Nobody accepts connections there.
    Nobody,
    /// The other end hung up in the handshake and gave no reason.
    HungUp,
    /// The other end does not talk as a satellite does, or not in time.
    Strange,
    /// One side speaks CURVE and the other does not.
    Mismatch,
    /// The satellite does not know our key.
    Unknown,
    /// The other end speaks CURVE and does not have the satellite's key.
    Impostor,
}

/// What a message of the monitor says of a connection that was begun `then`, at an end that may take
/// for as long as `patience` to shake hands.
pub(super) fn read(frame: &[u8], then: Instant, patience: Duration) -> Option<News> {
    let (event, rest) = frame.split_first_chunk()?;
    let value = u32::from_ne_bytes(*rest.first_chunk()?);
    let event = SocketEvent::from_raw(u16::from_ne_bytes(*event));
    let ending = match (event, value) {
        (SocketEvent::CONNECTED, _) => return Some(News::Connected),
        (SocketEvent::HANDSHAKE_SUCCEEDED, _) => return Some(News::Whole),
        (SocketEvent::CONNECT_RETRIED, _) => Ending::Nobody,
        (SocketEvent::HANDSHAKE_FAILED_PROTOCOL, MECHANISM_MISMATCH) => Ending::Mismatch,
        (SocketEvent::HANDSHAKE_FAILED_PROTOCOL, CRYPTOGRAPHIC) => Ending::Impostor,
        (SocketEvent::HANDSHAKE_FAILED_AUTH, UNKNOWN_KEY) => Ending::Unknown,
        // The value would be an errno, but is a stale one when time was over.
        (SocketEvent::HANDSHAKE_FAILED_NO_DETAIL, _) if then.elapsed() < patience => Ending::HungUp,
        _ => Ending::Strange,
    };
    Some(News::Over(ending))
}
