//! `CONNECT`: asks an HTTP proxy for a connection (RFC 9110, section 9.3.6).
//!
//! This module sends the request and reads the response head. The bytes behind the head come from the
//! target.

use std::io::{self, ErrorKind, Read, Write};

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::Target;
use crate::config::Login;
use crate::report::words;

/// The longest response head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Asks for a connection to `target`. An error text continues a sentence that has named the proxy.
pub(super) fn connect(
    stream: &mut (impl Read + Write),
    target: &Target,
    login: Option<&Login>,
) -> Result<(), String> {
    let request = request(target, login);
    let sent = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush());
    let head = sent.and_then(|()| head(stream));
    let head = head.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => format!("did not say whether it connects to {target}"),
        ErrorKind::UnexpectedEof => "closed the connection when asked to connect".to_owned(),
        ErrorKind::InvalidData => "does not answer like an HTTP proxy".to_owned(),
        _ => words(&error),
    })?;
    let (status, line) = status(&head).ok_or("does not answer like an HTTP proxy")?;
    match status {
        200..=299 => Ok(()),
        407 if login.is_none() => {
            Err("requires a user and a password: http://user:password@host:port".to_owned())
        }
        407 => Err("does not accept the user and password".to_owned()),
        403 | 405 => Err(format!(
            "does not allow connections to {target} ({line}): many allow only port 443"
        )),
        _ => Err(format!("cannot connect to {target} ({line})")),
    }
}

fn request(target: &Target, login: Option<&Login>) -> Zeroizing<String> {
    let place = target.to_string();
    let mut request = Zeroizing::new(String::with_capacity(4096));
    for part in ["CONNECT ", &place, " HTTP/1.1\r\nHost: ", &place, "\r\n"] {
        request.push_str(part);
    }
    if let Some(login) = login {
        let pair = Zeroizing::new(format!("{}:{}", *login.user, *login.password));
        let encoded = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&encoded);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// Reads up to the empty line, and no byte beyond it.
fn head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(head)
}

/// The status code of a response, and its printable text.
fn status(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let status = rest.split(' ').next()?.parse().ok()?;
    Some((status, rest.trim().chars().take(100).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scripted proxy: the response it gives, and the bytes it has received.
    struct Script(&'static [u8], Vec<u8>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
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

    fn ask(answer: &'static str, login: Option<&Login>) -> (Result<(), String>, Script) {
        let mut script = Script(answer.as_bytes(), Vec::new());
        let target = Target::Name("sky".to_owned(), 9000);
        (connect(&mut script, &target, login), script)
    }

    fn login() -> Login {
        Login {
            user: Zeroizing::new("me".to_owned()),
            password: Zeroizing::new("secret".to_owned()),
        }
    }

    #[test]
    fn nothing_of_the_target_is_taken_for_the_answer() {
        let (asked, script) = ask("HTTP/1.1 200 OK\r\nVia: x\r\n\r\nSKY", None);
        assert_eq!((asked, script.0), (Ok(()), &b"SKY"[..]));
        let sent = "CONNECT sky:9000 HTTP/1.1\r\nHost: sky:9000\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&script.1), sent);
        let (asked, script) = ask("HTTP/1.0 200\r\n\r\n", Some(&login()));
        assert_eq!(asked, Ok(()));
        let sent = String::from_utf8_lossy(&script.1).into_owned();
        assert!(
            sent.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"),
            "{sent}"
        );
    }

    #[test]
    fn a_refusal_is_told() {
        let login = login();
        for (answer, login, said) in [
            (
                "HTTP/1.1 407 Who\r\n\r\n",
                None,
                "requires a user and a password",
            ),
            (
                "HTTP/1.1 407 Who\r\n\r\n",
                Some(&login),
                "does not accept the user",
            ),
            (
                "HTTP/1.1 403 Forbidden\r\n\r\n",
                None,
                "to sky:9000 (403 Forbidden): many allow only port 443",
            ),
            (
                "HTTP/1.1 503 Down\r\n\r\n",
                None,
                "cannot connect to sky:9000 (503 Down)",
            ),
            (
                "SSH-2.0-x\r\n\r\n",
                None,
                "does not answer like an HTTP proxy",
            ),
            ("HTTP/1.1 200", None, "closed the connection"),
        ] {
            let why = ask(answer, login).0.expect_err(answer);
            assert!(why.contains(said) && !why.contains("secret"), "{why}");
        }
        let long = format!("HTTP/1.1 200 OK\r\n{}", "a".repeat(MAX_HEAD));
        assert!(ask(Box::leak(long.into_boxed_str()), None).0.is_err());
    }
}
