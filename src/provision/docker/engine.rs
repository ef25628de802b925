//! A container engine, and how to query it.
//!
//! Owns the connection, the meaning of a status, and the text of refusals. The requests are in
//! `containers` and `images`. The paths name no version of the API: engines support different
//! versions, and without one each engine uses its own.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::stream::words;
use crate::exit::Failure;
use crate::provision::bracketed;
use crate::provision::http::{Answer, Body, Http, PATIENCE};

/// A container engine.
#[derive(Debug)]
pub struct Engine {
    http: Http,
    /// The engine's name in messages.
    place: String,
    /// The engine's processor, as images name it.
    pub architecture: String,
    /// Whether the engine is Podman.
    pub is_podman: bool,
}

/// Why the engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There was no answer. The engine may have done it.
    Lost(String),
    /// The engine refused, with this status and this text.
    Refused(u16, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(words) => f.write_str(words),
            Self::Refused(status, words) if words.is_empty() => {
                write!(f, "the engine answers with status {status}")
            }
            Self::Refused(_, words) => write!(f, "the engine says: {words}"),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::failed(fault.to_string())
    }
}

/// The fields that are read from `GET /version`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    #[serde(rename = "ApiVersion")]
    _api: String,
    arch: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

impl Engine {
    /// Connects to the engine that listens at `path` on this machine. The socket may also be
    /// forwarded from `place`.
    ///
    /// # Errors
    ///
    /// When there is no engine, or this user may not use it.
    pub fn at_path(path: &Path, place: &str) -> Result<Self, Failure> {
        if let Err(error) = UnixStream::connect(path) {
            let why = match error.kind() {
                ErrorKind::NotFound => {
                    "there is no container engine at it: is Docker or Podman started?".to_owned()
                }
                ErrorKind::ConnectionRefused => {
                    "no container engine listens at it: start Docker or Podman".to_owned()
                }
                ErrorKind::PermissionDenied => {
                    "this user may not open it: be in the group docker (usermod -aG docker USER, and log \
                     in again), or be root"
                        .to_owned()
                }
                _ => error.to_string(),
            };
            return Err(Failure::failed(format!("{place}: {why}")));
        }
        Self::open(Http::unix(path), place)
    }

    /// Connects to the engine that listens at a host and port, without encryption or
    /// authentication.
    ///
    /// # Errors
    ///
    /// When there is no engine.
    pub fn at_port(host: &str, port: u16, place: &str) -> Result<Self, Failure> {
        Self::open(
            Http::new(&format!("http://{}:{port}", bracketed(host))),
            place,
        )
    }

    fn open(http: Http, place: &str) -> Result<Self, Failure> {
        let answer = http.send("GET", "/version", &[], Body::Empty);
        let answer = answer.map_err(|error| Failure::failed(format!("{place}: {error}")))?;
        let version = serde_json::from_slice::<Version>(&answer.body).ok();
        let Some(version) = version.filter(|_| answer.status == 200) else {
            return Err(Failure::failed(format!(
                "what answers at {place} is no container engine (status {}, {:?})",
                answer.status,
                words(&answer.body).chars().take(80).collect::<String>()
            )));
        };
        let is_podman = version
            .components
            .iter()
            .any(|part| part.name.starts_with("Podman"));
        Ok(Self {
            http,
            place: place.to_owned(),
            architecture: version.arch,
            is_podman,
        })
    }

    /// The engine's name in messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Gets an object; `None` if it does not exist.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Fault> {
        match self.ask(PATIENCE, "GET", path, Body::Empty, &[200]) {
            Ok(answer) => read(&answer).map(Some),
            Err(Fault::Refused(404, _)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Sends JSON, and parses the answer.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Fault> {
        read(&self.ask(PATIENCE, "POST", path, Body::Json(body), &[200, 201])?)
    }

    /// Deletes an object. Deleting one that does not exist succeeds.
    pub(super) fn delete(&self, path: &str) -> Result<(), Fault> {
        self.ask(PATIENCE, "DELETE", path, Body::Empty, &[200, 204, 404])
            .map(drop)
    }

    /// Sends a request. Every status except these is a refusal.
    pub(super) fn ask(
        &self,
        patience: Duration,
        method: &str,
        path: &str,
        body: Body<'_>,
        good: &[u16],
    ) -> Result<Answer, Fault> {
        let answer = self.http.send_within(patience, method, path, &[], body);
        let answer = answer.map_err(|error| Fault::Lost(format!("{}: {error}", self.place)))?;
        if good.contains(&answer.status) {
            Ok(answer)
        } else {
            Err(Fault::Refused(answer.status, words(&answer.body)))
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Fault::Lost(format!("the engine's answer makes no sense: {error}")))
}
