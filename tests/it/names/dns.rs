//! A name server for a test.

use std::net::UdpSocket;
use std::thread;

/// Answers at 127.0.0.1 for as long as the test's network exists. The host `in-dns.test` is at
/// 127.0.0.1, and there is no other host.
pub fn serve() {
    let socket = UdpSocket::bind("127.0.0.1:53").expect("the network is the test's own");
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let answer = answer(&packet[..length]);
            let _ = socket.send_to(&answer, from);
        }
    });
}

/// The answer to a query with one question (RFC 1035, section 4).
fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12
        + query[12..]
            .iter()
            .position(|byte| *byte == 0)
            .expect("a name")
        + 5;
    let question = &query[12..end];
    let is_known = question.starts_with(b"\x06in-dns\x04test\0");
    let is_for_ipv4 = question.ends_with(&[0, 1, 0, 1]);
    let (code, count) = match (is_known, is_for_ipv4) {
        (true, true) => (0, 1),
        (true, false) => (0, 0),
        (false, _) => (3, 0),
    };
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question);
    if count == 1 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
