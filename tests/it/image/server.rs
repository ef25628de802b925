//! A registry whose answers a test chooses.

use std::io::{Cursor, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tiny_http::{Header, Response, Server};

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub line: String,
    pub authorization: String,
    pub length: Option<usize>,
    pub body: Vec<u8>,
}

/// An answer: the status, the headers, the body.
pub struct Said(pub u16, pub Vec<(&'static str, String)>, pub Vec<u8>);

impl Said {
    pub fn status(status: u16) -> Self {
        Self(status, Vec::new(), Vec::new())
    }

    pub fn with(status: u16, name: &'static str, value: impl Into<String>) -> Self {
        Self(status, vec![(name, value.into())], Vec::new())
    }

    pub fn body(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self(status, Vec::new(), body.into())
    }
}

/// A running registry. Dropping it stops it.
pub struct Fake {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    asked: Mutex<Receiver<Asked>>,
}

impl Fake {
    /// Answers each request with the result of `answer`, which gets the number of earlier requests
    /// and the request.
    pub fn new(answer: impl Fn(usize, &Asked) -> Said + Send + 'static) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("loopback is up"));
        let (sender, asked) = channel();
        let own = Arc::clone(&server);
        let thread = thread::spawn(move || {
            for (count, mut request) in own.incoming_requests().enumerate() {
                let header = |name: &'static str| {
                    let found = request
                        .headers()
                        .iter()
                        .find(|header| header.field.equiv(name));
                    found.map_or_else(String::new, |header| header.value.to_string())
                };
                let line = format!("{} {}", request.method(), request.url());
                let authorization = header("authorization");
                let length = request.body_length();
                let mut body = Vec::new();
                request
                    .as_reader()
                    .read_to_end(&mut body)
                    .expect("it comes whole");
                let asked = Asked {
                    line,
                    authorization,
                    length,
                    body,
                };
                let Said(status, headers, body) = answer(count, &asked);
                // A test that has ended no longer receives.
                let _ = sender.send(asked);
                let length = body.len();
                let body: Box<dyn Read + Send> = Box::new(Cursor::new(body));
                let headers = headers.iter().map(|(name, value)| {
                    Header::from_bytes(name.as_bytes(), value.as_bytes())
                        .expect("tests write good headers")
                });
                let response =
                    Response::new(status.into(), headers.collect(), body, Some(length), None);
                let _ = request.respond(response);
            }
        });
        Self {
            server,
            thread: Some(thread),
            asked: Mutex::new(asked),
        }
    }

    pub fn host(&self) -> String {
        self.server
            .server_addr()
            .to_ip()
            .expect("it is TCP")
            .to_string()
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .expect("no test panicked with it")
            .try_iter()
            .collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
