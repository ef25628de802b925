//! What the monitor tells of a connection: that it is whole, or why it has ended.
//!
//! Owns the meaning of libzmq's events. Never decides what is to be done about them. Seen with real
//! sockets, a number behind an event being its value:
//!
//! | what is there | event that ends the connection |
//! | --- | --- |
//! | nobody | `CONNECT_RETRIED` |
//! | a program of another kind | `NO_DETAIL` (32: it closed; else: time is over) or `PROTOCOL` |
//! | a private satellite, and we are plain | `DISCONNECTED`, or `NO_DETAIL` (32, 104) |
//! | what TLS says of the other end | `NO_DETAIL`, with a number of [`tls::Ending`] |
//! | a proxy whose satellite is down | `NO_DETAIL` (32, 104) |
//! | the satellite, killed in the handshake | `NO_DETAIL` (32, 104) |

use std::time::{Duration, Instant};

use skypipe_broker::tls;
use zmq::SocketEvent;

/// The events that say how a connection fares.
pub(super) const EVENTS: [SocketEvent; 6] = [
    SocketEvent::CONNECTED,
    SocketEvent::HANDSHAKE_SUCCEEDED,
    SocketEvent::DISCONNECTED,
    SocketEvent::CONNECT_RETRIED,
    SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
    SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
];

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
    /// One side speaks TLS and the other does not.
    Mismatch,
    /// The satellite does not know our key.
    Unknown,
    /// The other end does not have the satellite's key.
    Impostor,
}

/// What a message of the monitor says of a connection that was begun `then`, at an end that may take
/// for as long as `patience` to shake hands.
pub(super) fn read(frame: &[u8], then: Instant, patience: Duration) -> Option<News> {
    let (event, rest) = frame.split_first_chunk()?;
    let value = u32::from_ne_bytes(*rest.first_chunk()?);
    let event = SocketEvent::from_raw(u16::from_ne_bytes(*event));
    if event == SocketEvent::HANDSHAKE_FAILED_NO_DETAIL
        && let Some(ending) = tls::Ending::of(value)
    {
        return Some(News::Over(of_tls(ending)));
    }
    let ending = match event {
        SocketEvent::CONNECTED => return Some(News::Connected),
        SocketEvent::HANDSHAKE_SUCCEEDED => return Some(News::Whole),
        SocketEvent::CONNECT_RETRIED => Ending::Nobody,
        // The value would be an errno, but is a stale one when time was over.
        SocketEvent::HANDSHAKE_FAILED_NO_DETAIL if then.elapsed() < patience => Ending::HungUp,
        _ => Ending::Strange,
    };
    Some(News::Over(ending))
}

fn of_tls(ending: tls::Ending) -> Ending {
    match ending {
        tls::Ending::Refused => Ending::Unknown,
        tls::Ending::Impostor => Ending::Impostor,
        tls::Ending::Plain => Ending::Mismatch,
        tls::Ending::Strange => Ending::Strange,
    }
}
