//! Pushes an image to a registry.
//!
//! Owns the part of the distribution API that a push needs (`docs/spec/api.md` of the distribution
//! project): check whether a blob exists, upload it in one piece, and put the manifest under a tag.
//! The password goes only to the registry and to the token service that the registry names.
//! Temporary failures are retried. Never follows a redirection.

mod challenge;
mod place;
mod words;

use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use serde_json::Value;
use ureq::http::Uri;
use zeroize::Zeroizing;

use self::challenge::Challenge;
use super::{Image, Registry, digest};
use crate::exit::Failure;
use crate::provision::http::{Answer, Body, Http, PATIENCE};

/// The time limit of a whole push. Fifty megabytes at 1 Mbit/s take seven minutes.
const TOTAL: Duration = Duration::from_secs(600);

/// How often a step is tried while its failures may be temporary.
const ATTEMPTS: u32 = 5;

/// The wait after the first attempt. It doubles after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait that a registry can impose.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest token that is accepted, in bytes. Docker's have a few thousand.
const MAX_TOKEN: usize = 32 << 10;

/// Pushes an image, and returns the reference by which it can be pulled.
pub fn push(
    image: &Image,
    registry: &Registry,
    repository: &str,
    tag: &str,
) -> Result<String, Failure> {
    check_names(repository, tag)?;
    let mut push = Push::new(registry, repository)?;
    for blob in [&image.packed, &image.config] {
        push.retried(|push| push.blob(blob))?;
    }
    push.retried(|push| push.manifest(tag, &image.manifest))?;
    Ok(format!("{}/{repository}@{}", push.host, image.digest()))
}

/// Checks the characters of the names against the specification, because names may come from
/// elsewhere.
fn check_names(repository: &str, tag: &str) -> Result<(), Failure> {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let inner = part
            .bytes()
            .all(|byte| lower(byte) || b"._-".contains(&byte));
        inner
            && part.bytes().next().is_some_and(lower)
            && part.bytes().next_back().is_some_and(lower)
    };
    if repository.len() > 255 || !repository.split('/').all(is_part) {
        return Err(Failure::usage(format!(
            "{repository:?} is no name that an image can have in a registry"
        )));
    }
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=128).contains(&tag.len()) || !tag.bytes().all(is_tag) || tag.starts_with(['.', '-']) {
        return Err(Failure::usage(format!(
            "{tag:?} is no tag that an image can have in a registry"
        )));
    }
    Ok(())
}

/// Why a step failed.
enum Trouble {
    /// The step may succeed later. The registry may have said after how long.
    Passing(String, Option<Duration>),
    /// The step cannot succeed.
    Lasting(Failure),
}

struct Push<'a> {
    http: Http,
    base: Uri,
    /// The registry's host and port, for people and for the reference.
    host: String,
    registry: &'a Registry,
    repository: &'a str,
    /// The value of the `Authorization` header: the password at first, then the token if the
    /// registry wants one.
    authorization: Zeroizing<String>,
    until: Instant,
}

impl<'a> Push<'a> {
    fn new(registry: &'a Registry, repository: &'a str) -> Result<Self, Failure> {
        let base = place::origin(&registry.base).map_err(Failure::usage)?;
        let host = base
            .authority()
            .map_or_else(String::new, ToString::to_string);
        Ok(Self {
            http: Http::new(&registry.base),
            base,
            host,
            registry,
            repository,
            authorization: basic(registry),
            until: Instant::now() + TOTAL,
        })
    }

    /// Tries a step until it succeeds, cannot succeed, or has used up its attempts or its time.
    fn retried(&mut self, step: impl Fn(&mut Self) -> Result<(), Trouble>) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let (sentence, asked) = match step(self) {
                Ok(()) => return Ok(()),
                Err(Trouble::Lasting(failure)) => return Err(failure),
                Err(Trouble::Passing(sentence, asked)) => (sentence, asked),
            };
            let wait = pause(attempt, asked);
            if attempt == ATTEMPTS || Instant::now() + wait >= self.until {
                return Err(Failure::failed(sentence));
            }
            thread::sleep(wait);
            attempt += 1;
        }
    }

    /// Uploads a blob unless the registry has it. After a failure the upload starts over, because
    /// the state of the interrupted one is unknown.
    fn blob(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let name = digest(bytes);
        let path = format!("/v2/{}/blobs/{name}", self.repository);
        let found = self.ask("HEAD", &path, None)?;
        if found.status == 200 {
            return Ok(());
        }
        if passes(found.status) {
            return self.expect(&[], found).map(|_| ());
        }
        // Any other answer comes again to the next request, and then with a text.
        let uploads = format!("/v2/{}/blobs/uploads/", self.repository);
        let begun = self.ask("POST", &uploads, Some(("application/octet-stream", &[])))?;
        let begun = self.expect(&[202], begun)?;
        let upload = begun
            .header("location")
            .ok_or_else(|| self.odd("does not say where to upload to"))?;
        let upload = place::within(&self.base, &uploads, upload).map_err(|what| self.odd(&what))?;
        let joint = if upload.contains('?') { '&' } else { '?' };
        let upload = format!("{upload}{joint}digest={name}");
        let stored = self.ask("PUT", &upload, Some(("application/octet-stream", bytes)))?;
        let stored = self.expect(&[201], stored)?;
        self.same(&stored, &name)
    }

    fn manifest(&mut self, tag: &str, manifest: &[u8]) -> Result<(), Trouble> {
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        let stored = self.ask("PUT", &path, Some((super::MANIFEST, manifest)))?;
        let stored = self.expect(&[201], stored)?;
        self.same(&stored, &digest(manifest))
    }

    /// Sends a request. If the registry asks for a token, gets one and sends the request again.
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer, Trouble> {
        let answer = self.send(method, path, body)?;
        let challenge = answer
            .header("www-authenticate")
            .and_then(challenge::bearer);
        match challenge {
            Some(challenge) if answer.status == 401 => {
                self.authorization = self.token(&challenge)?;
                self.send(method, path, body)
            }
            _ => Ok(answer),
        }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer, Trouble> {
        let left = self
            .until
            .saturating_duration_since(Instant::now())
            .max(Duration::from_secs(1));
        // An upload may use all the remaining time.
        let patience = if body.is_some_and(|(_, bytes)| !bytes.is_empty()) {
            left
        } else {
            left.min(PATIENCE)
        };
        let length = body.map_or(0, |(_, bytes)| bytes.len()).to_string();
        let mut headers = vec![("authorization", self.authorization.as_str())];
        let content = match body {
            Some((kind, bytes)) => {
                // An upload in one piece must state its length. Registries behind proxies refuse it
                // otherwise.
                headers.push(("content-length", &length));
                Body::Bytes(kind, bytes)
            }
            None => Body::Empty,
        };
        self.http
            .send_within(patience, method, path, &headers, content)
            .map_err(|sentence| Trouble::Passing(sentence, None))
    }

    /// Gets a token from the service that the registry named.
    fn token(&self, challenge: &Challenge) -> Result<Zeroizing<String>, Trouble> {
        let realm = place::realm(&self.base, &challenge.realm).map_err(|what| self.odd(&what))?;
        let scope = challenge
            .scope
            .clone()
            .unwrap_or_else(|| format!("repository:{}:pull,push", self.repository));
        let query = challenge::query(&realm.path, challenge.service.as_deref(), &scope);
        let password = basic(self.registry);
        let answer = Http::new(&realm.origin)
            .send("GET", &query, &[("authorization", &password)], Body::Empty)
            .map_err(|sentence| Trouble::Passing(sentence, None))?;
        let answer = self.expect(&[200], answer)?;
        let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let token = parsed.as_ref().and_then(|value| {
            value
                .get("token")
                .or_else(|| value.get("access_token"))?
                .as_str()
        });
        match token {
            Some(token)
                if token.len() <= MAX_TOKEN
                    && token.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(Zeroizing::new(format!("Bearer {token}")))
            }
            _ => Err(self.odd("gave no token")),
        }
    }

    /// The answer, if its status is one of these.
    fn expect(&self, statuses: &[u16], answer: Answer) -> Result<Answer, Trouble> {
        let (host, user, repository) = (&self.host, &self.registry.user, self.repository);
        let status = answer.status;
        if statuses.contains(&status) {
            return Ok(answer);
        }
        let said = words::of(&answer, |text| self.clean(text));
        let sentence = match status {
            status if passes(status) => {
                let wait = answer
                    .header("retry-after")
                    .and_then(|text| text.trim().parse().ok());
                let sentence = format!(
                    "the registry {host} cannot take the image now: {said}; try again a little later"
                );
                return Err(Trouble::Passing(sentence, wait.map(Duration::from_secs)));
            }
            300..=399 => {
                format!("the registry {host} points elsewhere ({said}), which is not followed")
            }
            401 => format!("the registry {host} does not accept the password of {user}: {said}"),
            403 => format!("the registry {host} does not let {user} push to {repository}: {said}"),
            _ => format!("the registry {host} does not take the image: {said}"),
        };
        Err(Trouble::Lasting(Failure::failed(sentence)))
    }

    /// Checks the digest that the registry reports for what it stored, if it reports one.
    fn same(&self, stored: &Answer, name: &str) -> Result<(), Trouble> {
        match stored.header("docker-content-digest") {
            Some(other) if other != name => Err(self.odd("stored something else than was sent")),
            _ => Ok(()),
        }
    }

    fn odd(&self, what: &str) -> Trouble {
        Trouble::Lasting(Failure::failed(format!(
            "the registry {} {}",
            self.host,
            self.clean(what)
        )))
    }

    /// A registry's text, without secrets of ours that it may repeat.
    fn clean(&self, said: &str) -> String {
        let secrets = [
            self.registry.password.as_str(),
            basic_value(&self.authorization),
            basic_value(&basic(self.registry)),
        ]
        .map(str::to_owned)
        .map(Zeroizing::new);
        let hidden = secrets.iter().filter(|secret| !secret.is_empty());
        hidden.fold(said.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "[hidden]")
        })
    }
}

/// Whether a failure with this status may be temporary.
fn passes(status: u16) -> bool {
    matches!(status, 429 | 500 | 502..=504)
}

/// How long to wait after an attempt. The registry may ask for a time, within limits.
fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let own = FIRST_WAIT * 2_u32.saturating_pow(attempt.saturating_sub(1));
    asked.unwrap_or(own).min(LONGEST_WAIT)
}

/// The user and the password as RFC 7617 encodes them.
fn basic(registry: &Registry) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{}:{}", registry.user, registry.password.as_str()));
    let encoded = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
    Zeroizing::new(format!("Basic {}", encoded.as_str()))
}

/// The value of such a header, without the scheme.
fn basic_value(authorization: &str) -> &str {
    authorization
        .split_once(' ')
        .map_or(authorization, |(_, value)| value)
}

#[cfg(test)]
mod tests;
