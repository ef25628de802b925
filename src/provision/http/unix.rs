//! HTTP over a Unix socket: how ureq connects to it, reads and writes.
//!
//! Owns the time-outs of such a connection. Knows nothing of the content.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// Connects to the socket at one path, whatever host a URL names.
#[derive(Debug)]
pub struct PathConnector {
    path: PathBuf,
}

impl PathConnector {
    /// Creates a connector for the socket at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Connector<()> for PathConnector {
    type Out = PathTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<PathTransport>, Error> {
        let patience = details.timeout.not_zero().map(|patience| *patience);
        let stream = connect_within(patience, self.path.clone()).map_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                Error::Timeout(details.timeout.reason)
            } else {
                Error::Io(error)
            }
        })?;
        let (input, output) = (
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(PathTransport {
            stream,
            buffers: LazyBuffers::new(input, output),
        }))
    }
}

/// Connects within a time limit. The system has none for this: connecting blocks for as long as the
/// queue of a server that accepts nothing is full. So another thread connects.
fn connect_within(patience: Option<Duration>, path: PathBuf) -> io::Result<UnixStream> {
    let Some(patience) = patience else {
        return UnixStream::connect(path);
    };
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        // If the result comes too late, nobody receives it any more.
        let _ = sender.send(UnixStream::connect(path));
    })?;
    receiver
        .recv_timeout(patience)
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// One connection.
#[derive(Debug)]
pub struct PathTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for PathTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let patience = left(&timeout)?;
        self.stream.set_write_timeout(patience)?;
        self.stream
            .write_all(&self.buffers.output()[..amount])
            .map_err(|error| fault(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let patience = left(&timeout)?;
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        self.stream.set_read_timeout(patience)?;
        let amount = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                // The system does not restart a read with a time-out after a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return Err(Error::Timeout(timeout.reason));
                    }
                }
                result => break result.map_err(|error| fault(error, timeout.reason))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A new connection costs next to nothing here, and a connection that is not kept cannot
        // become stale.
        false
    }
}

/// The time that is left; `None` means no limit. A time-out of zero has passed already, which is an
/// error.
fn left(timeout: &NextTimeout) -> Result<Option<Duration>, Error> {
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(timeout.not_zero().map(|patience| *patience))
}

fn fault(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::Io(error),
    }
}

/// A resolver that looks nothing up: the connector knows the only address.
#[derive(Debug)]
pub struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        // ureq needs some address. Nothing ever connects to this one.
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use crate::provision::http::{Body, Http};

    /// Answers each connection with the next of these answers, after reading the head of the
    /// request, and closes it.
    fn server(answers: &'static [&'static str]) -> (tempfile::TempDir, Http) {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).expect("the path is short");
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("somebody asks");
                let reader = BufReader::new(stream.try_clone().expect("it can be cloned"));
                let _ = reader.lines().map_while(Result::ok).find(String::is_empty);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (directory, Http::unix(&path))
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let (_directory, http) = server(&[
            "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nfirst",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecond",
        ]);
        let first = http
            .send("GET", "/a", &[], Body::Empty)
            .expect("it answers");
        assert_eq!((first.status, first.text().as_str()), (200, "first"));
        assert_eq!(first.header("x-a"), Some("b"));
        let second = http
            .send("DELETE", "/b", &[], Body::Empty)
            .expect("it answers on a new connection");
        assert_eq!((second.status, second.text().as_str()), (404, "second"));
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("nobody");
        let error = Http::unix(&path)
            .send("GET", "/", &[], Body::Empty)
            .expect_err("nobody answers");
        assert!(error.contains("nobody cannot be asked"), "{error}");
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("s");
        let _listener = UnixListener::bind(&path).expect("the path is short");
        let error = Http::unix(&path)
            .send_within(Duration::from_millis(100), "GET", "/", &[], Body::Empty)
            .expect_err("nothing is said");
        assert!(error.contains("timeout"), "{error}");
    }

    #[test]
    fn an_answer_that_breaks_off_is_a_failure() {
        let (_directory, http) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]);
        assert!(http.send("GET", "/", &[], Body::Empty).is_err());
    }
}
