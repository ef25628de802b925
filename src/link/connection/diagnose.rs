//! A probe: whether a host speaks TLS, `ZeroMQ` in the open, or neither.
//!
//! Owns a short conversation over a TCP connection of its own: the greeting of RFC 37 ("ZMTP 3.1"),
//! and nothing after it. It is for connections in the open that ended without a reason, and blocks for a
//! moment, so it is for a thread of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long all of it may take: for a host that has just answered, more than a moment is too long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What we say: the signature and the major version. It makes the other end say all of its greeting,
/// and keep what it would say of ours, which it has not seen, to itself.
const OPENING: [u8; 11] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3];

/// How a greeting begins: its signature (10 bytes) and the major version.
const GREETING: usize = 11;

/// How an answer of TLS to what is none begins: an alert (RFC 8446, section 5.1), of a major version 3.
const ALERT: [u8; 2] = [0x15, 3];

/// How the other end wants to be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// By everybody, in the open.
    None,
    /// With TLS, by those whose keys it knows.
    Tls,
}

/// How whoever listens at `address` wants to be talked to, if it is in one of these ways.
pub(super) fn mechanism(address: SocketAddr) -> Option<Mechanism> {
    let end = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.write_all(&OPENING).ok()?;
    let mut greeting = [0; GREETING];
    let mut filled = 0;
    while filled < GREETING {
        let left = end.checked_duration_since(Instant::now())?;
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut greeting[filled..]) {
            // An alert is shorter than a greeting.
            Ok(0) | Err(_) => break,
            Ok(count) => filled += count,
        }
    }
    in_greeting(&greeting[..filled])
}

fn in_greeting(greeting: &[u8]) -> Option<Mechanism> {
    match greeting {
        [0xff, .., 0x7f, version] if greeting.len() == GREETING && *version >= 3 => {
            Some(Mechanism::None)
        }
        _ if greeting.starts_with(&ALERT) => Some(Mechanism::Tls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_greeting_and_an_alert_are_known() {
        let greeting = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3];
        assert_eq!(in_greeting(&greeting), Some(Mechanism::None));
        for place in [0, 9, 10] {
            let mut wrong = greeting;
            wrong[place] = 2;
            assert_eq!(in_greeting(&wrong), None);
        }
        assert_eq!(in_greeting(&greeting[..10]), None);
        assert_eq!(
            in_greeting(&[0x15, 3, 3, 0, 2, 2, 50]),
            Some(Mechanism::Tls)
        );
        assert_eq!(in_greeting(b"HTTP/1.1 40"), None);
        assert_eq!(in_greeting(b""), None);
    }

    #[test]
    fn who_says_nothing_or_trickles_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let began = Instant::now();
        assert_eq!(
            mechanism(address),
            None,
            "the system accepts, and that is all"
        );
        drop(listener.accept());
        let trickle = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            // Until the other end hangs up: a byte each time that a byte could have been read.
            let rest = Duration::from_millis(100);
            stream.set_read_timeout(Some(rest)).expect("an option");
            for byte in [0xff; 64] {
                let mut heard = [0; OPENING.len()];
                while matches!(stream.read(&mut heard), Ok(1..)) {}
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
        });
        assert_eq!(mechanism(address), None);
        assert!(began.elapsed() < 3 * PATIENCE);
        trickle.join().expect("it ends");
    }
}
