//! A probe: what kind of `ZeroMQ` a host speaks, if any.
//!
//! Owns a short conversation over a TCP connection of its own: the greeting of RFC 37 ("ZMTP 3.1"),
//! and nothing after it. It is for connections that ended without a reason, and blocks for a moment,
//! so it is for a thread of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long all of it may take: for a host that has just answered, more than a moment is too long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What we say: the signature and the major version. It makes the other end say all of its greeting,
/// and keep what it would say of ours, which it has not seen, to itself.
const OPENING: [u8; 11] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3];

/// A greeting: the signature (10 bytes), the version (2), the mechanism (20), and what we need not
/// know (32).
const GREETING: usize = 64;

/// How the other end wants to be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// By everybody, in the open.
    Null,
    /// Sealed, by those whose keys it knows.
    Curve,
}

/// The mechanism that whoever listens at `address` greets with, if it is one of these and greets at
/// all.
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
            Ok(0) | Err(_) => return None,
            Ok(count) => filled += count,
        }
    }
    in_greeting(&greeting)
}

fn in_greeting(greeting: &[u8; GREETING]) -> Option<Mechanism> {
    let is_signed = greeting[0] == 0xff && greeting[9] == 0x7f && greeting[10] >= 3;
    let name = &greeting[12..32];
    let end = name.iter().rposition(|byte| *byte != 0)?;
    match &name[..=end] {
        b"NULL" if is_signed => Some(Mechanism::Null),
        b"CURVE" if is_signed => Some(Mechanism::Curve),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn greeting(mechanism: &[u8]) -> [u8; GREETING] {
        let mut greeting = [0; GREETING];
        greeting[..OPENING.len()].copy_from_slice(&OPENING);
        greeting[12..12 + mechanism.len()].copy_from_slice(mechanism);
        greeting
    }

    #[test]
    fn a_greeting_names_its_mechanism() {
        let named = |mechanism| in_greeting(&greeting(mechanism));
        assert_eq!(named(b"NULL"), Some(Mechanism::Null));
        assert_eq!(named(b"CURVE"), Some(Mechanism::Curve));
        for other in [&b"PLAIN"[..], b"CURVES", b"", b"\0CURVE"] {
            assert_eq!(named(other), None);
        }
        for place in [0, 9, 10] {
            let mut wrong = greeting(b"NULL");
            wrong[place] = 2;
            assert_eq!(in_greeting(&wrong), None);
        }
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
            for byte in greeting(b"NULL") {
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
