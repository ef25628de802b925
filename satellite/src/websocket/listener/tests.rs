use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::Message;

use super::*;

/// More than any step takes on one machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A listener in front of a server that echoes everything.
fn echo(limit: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || {
        let (ours, theirs) = UnixStream::pair()?;
        thread::spawn(move || io::copy(&mut &theirs, &mut &theirs));
        Ok(ours)
    };
    start(listener, limit, Box::new(connect)).unwrap();
    address
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn shake(address: SocketAddr, protocol: &'static str) -> Option<WebSocket<TcpStream>> {
    let mut request = "ws://localhost/".into_client_request().unwrap();
    let name = HeaderValue::from_static(protocol);
    request.headers_mut().insert(PROTOCOL_HEADER, name);
    let shaken = tungstenite::client(request, tcp(address));
    shaken.ok().map(|(socket, _)| socket)
}

/// Whether the other end closes without sending anything more.
fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    // Closing a connection with unread data in it resets the connection.
    let read = stream.read_to_end(&mut rest);
    read.is_ok() || read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn bytes_come_through_whole_in_both_directions() {
    let address = echo(8);
    let mut streams: Vec<_> = (0..4)
        .map(|_| Messages::new(shake(address, PROTOCOL).expect("it is one of us")))
        .collect();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    for block in sent.chunks(100_000) {
        for stream in &mut streams {
            stream.write_all(block).unwrap();
            stream.flush().unwrap();
        }
        for stream in &mut streams {
            let mut received = vec![0; block.len()];
            stream.read_exact(&mut received).unwrap();
            assert!(received == block);
        }
    }
}

#[test]
fn another_protocol_is_refused() {
    let address = echo(8);
    assert!(shake(address, "chat").is_none());
    let mut browser = tcp(address);
    browser
        .write_all(b"GET / HTTP/1.1\r\nHost: sky\r\n\r\n")
        .unwrap();
    assert!(is_closed(browser));
    let mut rubbish = tcp(address);
    rubbish.write_all(&vec![0xff; 64 << 10]).unwrap();
    assert!(is_closed(rubbish));
}

#[test]
fn text_and_long_messages_end_the_connection() {
    let address = echo(8);
    let mut socket = shake(address, PROTOCOL).unwrap();
    socket.send(Message::text("hello")).unwrap();
    assert!(is_closed(socket.into_inner()));
    let mut socket = shake(address, PROTOCOL).unwrap();
    // The other end may close before everything is sent.
    let _ = socket.send(Message::binary(vec![0; 1 << 20]));
    assert!(is_closed(socket.into_inner()));
}

#[test]
fn who_is_silent_in_the_handshake_makes_room() {
    let address = echo(1);
    let silent = tcp(address);
    let second = shake(address, PROTOCOL);
    assert!(
        second.is_some(),
        "it waited for the first, which was closed"
    );
    assert!(is_closed(silent));
}
