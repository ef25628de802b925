//! Monitor events: the handshake has succeeded, or the connection has ended and why.
//!
//! This module interprets libzmq's events. It never decides what to do about them. The table was observed
//! with real sockets; a number behind an event is the event's value:
//!
//! | what is there | event that ends the connection |
//! | --- | --- |
//! | nobody | `CONNECT_RETRIED` |
//! | a program of another kind | `NO_DETAIL` (32: it closed; else: time is over) or `PROTOCOL` |
//! | a private satellite, and we are plain | `DISCONNECTED`, or `NO_DETAIL` (32, 104) |
//! | a TLS failure | `NO_DETAIL`, with a number of [`tls::Ending`] |
//! | a proxy whose satellite is down | `NO_DETAIL` (32, 104) |
//! | the satellite, killed in the handshake | `NO_DETAIL` (32, 104) |

use std::time::{Duration, Instant};

use skypipe_transport::tls;
use zmq::SocketEvent;

/// The events that the monitor subscribes to.
pub(super) const EVENTS: [SocketEvent; 6] = [
    SocketEvent::CONNECTED,
    SocketEvent::HANDSHAKE_SUCCEEDED,
    SocketEvent::DISCONNECTED,
    SocketEvent::CONNECT_RETRIED,
    SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
    SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
];

/// The meaning of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The other end's system has accepted the TCP connection.
    Connected,
    /// The handshake has succeeded.
    Whole,
    /// The connection has ended, or was never made.
    Over(Ending),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It broke after a successful handshake.
    Broke,
    /// Nobody accepts connections there.
    Nobody,
    /// The other end closed it during the handshake and gave no reason.
    HungUp,
    /// The other end does not speak the protocol, or not in time.
    Strange,
    /// One side speaks TLS and the other does not.
    Mismatch,
    /// The satellite does not know our key.
    Unknown,
    /// The other end does not have the satellite's key.
    Impostor,
}

/// The meaning of a monitor message about a connection that was begun at `then`. `patience` is the
/// handshake's timeout.
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
        // The value should be an errno, but after a timeout it is a stale one.
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
