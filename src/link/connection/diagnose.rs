//! A probe: whether a host speaks TLS.
//!
//! This module makes a short TCP connection of its own. It sends the start of a ZMTP greeting (RFC 37,
//! "ZMTP 3.1"), which is not TLS, and looks at the answer. It is for unencrypted connections that ended
//! without a reason. It blocks for a moment, so call it on its own thread.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The timeout of the whole probe. The host has just answered, so a second is plenty.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bytes that the probe sends: ZMTP's signature and major version.
const OPENING: [u8; 11] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3];

/// The first bytes of a TLS server's answer to anything else: an alert (RFC 8446, section 5.1), major
/// version 3.
const ALERT: [u8; 2] = [0x15, 3];

/// Whether the host at `address` answers as TLS does.
pub(super) fn speaks_tls(address: SocketAddr) -> bool {
    answer(address).is_some_and(|answer| answer == ALERT)
}

/// The first bytes of the answer, if they arrive in time.
fn answer(address: SocketAddr) -> Option<[u8; ALERT.len()]> {
    let end = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.write_all(&OPENING).ok()?;
    let mut answer = [0; ALERT.len()];
    let mut filled = 0;
    while filled < answer.len() {
        let left = end.checked_duration_since(Instant::now())?;
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut answer[filled..]) {
            Ok(0) | Err(_) => return None,
            Ok(count) => filled += count,
        }
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// The probe's result for a host that sends these bytes and closes.
    fn speaks_tls_with(said: &'static [u8]) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let host = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            stream
                .read_exact(&mut [0; OPENING.len()])
                .expect("it speaks first");
            stream.write_all(said).expect("it is open");
        });
        let speaks_tls = speaks_tls(address);
        host.join().expect("it ends");
        speaks_tls
    }

    #[test]
    fn tls_is_known_by_its_alert() {
        assert!(speaks_tls_with(&[0x15, 3, 3, 0, 2, 2, 50]));
        for other in [
            &OPENING[..],
            b"HTTP/1.1 400",
            &[0x15, 2, 3],
            &[0x16, 3, 3],
            &[0x15],
            b"",
        ] {
            assert!(!speaks_tls_with(other), "{other:?}");
        }
    }

    #[test]
    fn who_says_nothing_or_trickles_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let began = Instant::now();
        assert!(!speaks_tls(address), "the system accepts, and that is all");
        drop(listener.accept());
        let trickle = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            // The first byte of an alert, and nothing more until the other end closes.
            stream.write_all(&ALERT[..1]).expect("it is open");
            while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
        });
        assert!(!speaks_tls(address));
        assert!(began.elapsed() < 3 * PATIENCE);
        trickle.join().expect("it ends");
    }
}
