//! HTTP, as far as platforms need it.
//!
//! Owns time-outs, size limits and the text of network errors. The caller decides what a status
//! means. Never logs a header, because headers hold tokens.

mod resolver;

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use ureq::http::{Request, Response, Uri};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, AsSendBody, Body as Received, SendBody};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// The time limit for connecting.
const CONNECT: Duration = Duration::from_secs(10);

/// The time limit of one exchange, unless the caller gives another.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Whether a host is this machine. Only the name or address is looked at, without a name server.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a secret sent to the server at `base` is encrypted on its way, or never leaves this
/// machine.
#[must_use]
pub fn keeps_secrets(base: &str) -> bool {
    let Ok(uri) = base.parse::<Uri>() else {
        return false;
    };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_loopback),
        _ => false,
    }
}

/// Whether `base` is an unencrypted server on this machine. Requests to such a server must not go
/// through a proxy, which would see everything.
fn is_here(base: &str) -> bool {
    base.starts_with("http://") && keeps_secrets(base)
}

/// A server, with the connection settings for it.
#[derive(Debug)]
pub struct Http {
    agent: Agent,
    base: String,
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// No body.
    Empty,
    /// A JSON document.
    Json(&'a serde_json::Value),
    /// A content type, and the bytes.
    Bytes(&'a str, &'a [u8]),
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, of at most `MAX_ANSWER` bytes.
    pub body: Vec<u8>,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    /// The value of a header, or `None` if the header is missing or is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A server at a base URL, such as `https://api.machines.dev`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(TIMEOUT));
        if is_here(base) {
            config = config.proxy(None);
        }
        let config = config.build();
        let base = base.trim_end_matches('/').to_owned();
        let connector = DefaultConnector::default();
        Self {
            agent: Agent::with_parts(config, connector, resolver::HostNames),
            base,
        }
    }

    /// Sends a request and reads the answer, whatever the status is.
    ///
    /// # Errors
    ///
    /// When there is no answer. The error is a sentence without a full stop that names the server.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Answer, String> {
        self.send_within(TIMEOUT, method, path, headers, body)
    }

    /// Like [`Http::send`], with another time limit.
    ///
    /// # Errors
    ///
    /// As [`Http::send`].
    pub fn send_within(
        &self,
        timeout: Duration,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Answer, String> {
        // A registry may name the next request by a whole URL.
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        let (kind, bytes) = match body {
            Body::Empty => (None, Vec::new()),
            Body::Json(value) => (Some("application/json"), value.to_string().into_bytes()),
            Body::Bytes(kind, bytes) => (Some(kind), bytes.to_vec()),
        };
        let mut request = Request::builder().method(method).uri(&url);
        let kind = kind.map(|kind| ("content-type", kind));
        for (name, value) in headers.iter().copied().chain(kind) {
            request = request.header(name, value);
        }
        let has_body = kind.is_some() || !matches!(method, "GET" | "HEAD" | "DELETE");
        let response = if has_body {
            let body = SendBody::from_owned_reader(std::io::Cursor::new(bytes));
            self.run(request.body(body), timeout)?
        } else {
            self.run(request.body(()), timeout)?
        };
        let (parts, body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut reader = body.into_reader().take(MAX_ANSWER);
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|error| self.cannot(&error))?;
        Ok(Answer {
            status: parts.status.as_u16(),
            body: bytes,
            headers: parts.headers,
        })
    }

    fn run<B: AsSendBody>(
        &self,
        request: ureq::http::Result<Request<B>>,
        timeout: Duration,
    ) -> Result<Response<Received>, String> {
        let request = request.map_err(|error| self.cannot(&error))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(Some(timeout)).build();
        let response = self.agent.run(request);
        response.map_err(|error| self.cannot(&error))
    }

    /// The text of a network error, without the system's error number.
    fn cannot(&self, error: &dyn fmt::Display) -> String {
        let text = error.to_string();
        let words = text.split(" (os error").next().unwrap_or_default();
        let words = words.strip_prefix("io: ").unwrap_or(words);
        format!("cannot reach {}: {words}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_encrypted_or_stays_on_this_machine() {
        for base in [
            "https://api.machines.dev",
            "http://127.0.0.1:4280",
            "http://[::1]:4280",
            "http://localhost",
        ] {
            assert!(keeps_secrets(base), "{base}");
        }
        for base in [
            "http://api.machines.dev",
            "http://_api.internal:4280",
            "http://10.0.0.1",
            "http://127.0.0.1@sky.example.org",
            "http://localhost.example.org",
            "HTTP://api.machines.dev",
            "api.machines.dev",
            "ftp://127.0.0.1",
            "",
        ] {
            assert!(!keeps_secrets(base), "{base}");
        }
    }
}
