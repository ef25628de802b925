//! SOCKS5: asks such a proxy for a connection (RFC 1928, and RFC 1929 for passwords).
//!
//! This module owns the messages of both. A name is sent as it is, and the proxy looks it up.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::Target;
use crate::config::Login;
use crate::report::words;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;

/// Authentication methods.
const NO_LOGIN: u8 = 0;
const BY_PASSWORD: u8 = 2;
const NONE_OF_THESE: u8 = 0xff;

const CONNECT: u8 = 1;

/// Address types.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a connection to `target`. An error text continues a sentence that has named the proxy.
pub(super) fn connect(
    stream: &mut (impl Read + Write),
    target: &Target,
    login: Option<&Login>,
) -> Result<(), String> {
    let fault = |error: io::Error| match error.kind() {
        ErrorKind::TimedOut => format!("did not say whether it connects to {target}"),
        ErrorKind::UnexpectedEof => "closed the connection when asked to connect".to_owned(),
        _ => words(&error),
    };
    log_in(stream, login, &fault)?;
    let request = request(target)?;
    let code = ask(stream, &request).map_err(fault)?;
    match code {
        None => Err("does not answer like a SOCKS5 proxy".to_owned()),
        Some(0) => Ok(()),
        Some(code) => Err(format!("cannot connect to {target}: {}", meaning(code))),
    }
}

fn log_in(
    stream: &mut (impl Read + Write),
    login: Option<&Login>,
    fault: &dyn Fn(io::Error) -> String,
) -> Result<(), String> {
    let methods: &[u8] = match login {
        None => &[VERSION, 1, NO_LOGIN],
        Some(_) => &[VERSION, 2, NO_LOGIN, BY_PASSWORD],
    };
    let answer: [u8; 2] = exchange(stream, methods).map_err(fault)?;
    match (answer, login) {
        ([VERSION, NO_LOGIN], _) => Ok(()),
        ([VERSION, BY_PASSWORD], Some(login)) => {
            let message = credentials(login)?;
            match exchange(stream, &message).map_err(fault)? {
                [_, 0] => Ok(()),
                _ => Err("does not accept the user and password".to_owned()),
            }
        }
        ([VERSION, NONE_OF_THESE], None) => {
            Err("requires a user and a password: socks5h://user:password@host:port".to_owned())
        }
        ([VERSION, NONE_OF_THESE], Some(_)) => Err("does not take passwords".to_owned()),
        _ => Err("does not answer like a SOCKS5 proxy".to_owned()),
    }
}

/// Sends a message, and reads an answer of `N` bytes.
fn exchange<const N: usize>(
    stream: &mut (impl Read + Write),
    message: &[u8],
) -> io::Result<[u8; N]> {
    stream.write_all(message)?;
    stream.flush()?;
    let mut answer = [0; N];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn credentials(login: &Login) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut message = Zeroizing::new(Vec::with_capacity(3 + 2 * 255));
    message.push(LOGIN_VERSION);
    for part in [&login.user, &login.password] {
        let length = u8::try_from(part.len());
        message.push(length.map_err(|_| "takes a user and password of up to 255 bytes each")?);
        message.extend_from_slice(part.as_bytes());
    }
    Ok(message)
}

fn request(target: &Target) -> Result<Vec<u8>, String> {
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match target {
        Target::Name(name, port) => {
            let length = u8::try_from(name.len());
            request.extend([NAME, length.map_err(|_| "takes names of up to 255 bytes")?]);
            request.extend(name.as_bytes());
            *port
        }
        Target::Address(SocketAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.ip().octets());
            address.port()
        }
        Target::Address(SocketAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.ip().octets());
            address.port()
        }
    };
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// Sends the request, and reads the whole reply. Returns its code, or `None` if it is no SOCKS5 reply.
fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Option<u8>> {
    let [version, code, _, kind] = exchange(stream, request)?;
    let length = match kind {
        _ if version != VERSION => return Ok(None),
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let mut length = [0];
            stream.read_exact(&mut length)?;
            usize::from(length[0])
        }
        // Some proxies send no address with a refusal.
        _ => return Ok((code != 0).then_some(code)),
    };
    // The address from which the proxy connected, and its port.
    let mut bound = vec![0; length + 2];
    match stream.read_exact(&mut bound) {
        Err(_) if code != 0 => Ok(Some(code)),
        read => read.map(|()| Some(code)),
    }
}

fn meaning(code: u8) -> &'static str {
    match code {
        2 => "its rules do not allow that",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "connection refused",
        6 => "it took too long",
        7 => "it does not make connections",
        8 => "it does not know this kind of address",
        _ => "it does not say why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Vec<u8>, Vec<u8>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn login() -> Login {
        Login {
            user: Zeroizing::new("me".to_owned()),
            password: Zeroizing::new("secret".to_owned()),
        }
    }

    fn name() -> Target {
        Target::Name("sky".to_owned(), 9000)
    }

    #[test]
    fn names_are_left_to_the_proxy_and_nothing_else_is_read() {
        let answer = [&[5, 0][..], &[5, 0, 0, 1, 10, 0, 0, 1, 0, 80], b"SKY"].concat();
        let mut script = Script(answer, Vec::new());
        assert_eq!(connect(&mut script, &name(), None), Ok(()));
        assert_eq!(script.0, b"SKY");
        assert_eq!(script.1, b"\x05\x01\x00\x05\x01\x00\x03\x03sky\x23\x28");
        let answer = [&[5, 0][..], &[5, 0, 0, 3, 1, b'x', 0, 80]].concat();
        let mut script = Script(answer, Vec::new());
        let target = Target::Address("[::1]:1".parse().expect("it is one"));
        assert_eq!(connect(&mut script, &target, None), Ok(()));
        assert_eq!(script.1[3..8], [5, 1, 0, 4, 0]);
    }

    #[test]
    fn a_password_is_sent_where_it_is_asked_for() {
        let answer = [&[5, 2][..], &[1, 0], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        let mut script = Script(answer, Vec::new());
        assert_eq!(connect(&mut script, &name(), Some(&login())), Ok(()));
        assert_eq!(script.1[..16], *b"\x05\x02\x00\x02\x01\x02me\x06secret\x05");
    }

    #[test]
    fn a_refusal_is_told() {
        let login = login();
        for (answer, login, said) in [
            (&[5, 0xff][..], None, "requires a user"),
            (&[5, 0xff], Some(&login), "does not take passwords"),
            (&[5, 2, 1, 1], Some(&login), "does not accept the user"),
            (&[5, 2], None, "does not answer like"),
            (b"HTTP", None, "does not answer like"),
            (&[5, 0, 4, 0, 0, 1], None, "does not answer like"),
            (&[5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0], None, "its rules"),
            (&[5, 0, 5, 5, 0, 1], None, "connection refused"),
            (&[5, 0, 5, 4, 0, 0], None, "host is unreachable"),
            (&[5], None, "closed the connection"),
            (&[5, 0, 5, 0, 0, 1, 0], None, "closed the connection"),
        ] {
            let mut script = Script(answer.to_vec(), Vec::new());
            let why = connect(&mut script, &name(), login).expect_err("a refusal");
            assert!(why.contains(said), "{answer:?}: {why}");
        }
    }
}
