//! Pushes an image to Fly.io's registry.
//!
//! Owns the part of the distribution API that a push needs (`docs/spec/api.md` of the distribution
//! project): check whether a blob exists, upload it in one piece, and put the manifest under a tag.
//! The password goes only to the registry, encrypted unless the registry is on this machine.
//! Temporary failures are retried. Never follows a redirection. A registry that gives tokens for
//! passwords is not supported, as Fly.io's takes the password itself.

use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use serde_json::Value;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::{Image, Registry, digest};
use crate::exit::Failure;
use crate::provision::http::{Answer, Body, Http, TIMEOUT, keeps_secrets};
use crate::provision::quote::quote;

/// The time limit of a whole push. Fifty megabytes at 1 Mbit/s take seven minutes.
const TOTAL: Duration = Duration::from_secs(600);

/// How often a step is tried while its failures may be temporary.
const ATTEMPTS: u32 = 5;

/// The wait after the first attempt. It doubles after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait that a registry can impose.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest URL that is accepted, in bytes.
const MAX_URL: usize = 8 << 10;

/// How many of a registry's errors are shown.
const MAX_ERRORS: usize = 3;

/// Pushes an image, and returns the reference by which it can be pulled.
pub fn push(
    image: &Image,
    registry: &Registry,
    repository: &str,
    tag: &str,
) -> Result<String, Failure> {
    let mut push = Push::new(registry, repository)?;
    let pushed = image.pushed();
    for blob in [&pushed.layer, &image.config] {
        push.retried(|push| push.blob(blob))?;
    }
    push.retried(|push| push.manifest(tag, &pushed.manifest))?;
    Ok(format!("{}/{repository}@{}", push.host, image.digest()))
}

/// Why a step failed.
enum PushError {
    /// The step may succeed later. The registry may have said after how long.
    Temporary(String, Option<Duration>),
    /// The step cannot succeed.
    Final(Failure),
}

struct Push<'a> {
    http: Http,
    base: Uri,
    /// The registry's host and port, for people and for the reference.
    host: String,
    registry: &'a Registry,
    repository: &'a str,
    /// The value of the `Authorization` header.
    authorization: Zeroizing<String>,
    until: Instant,
}

impl<'a> Push<'a> {
    fn new(registry: &'a Registry, repository: &'a str) -> Result<Self, Failure> {
        let base = origin(&registry.base).map_err(Failure::usage)?;
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
    fn retried(
        &mut self,
        step: impl Fn(&mut Self) -> Result<(), PushError>,
    ) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let (sentence, asked) = match step(self) {
                Ok(()) => return Ok(()),
                Err(PushError::Final(failure)) => return Err(failure),
                Err(PushError::Temporary(sentence, asked)) => (sentence, asked),
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
    fn blob(&mut self, bytes: &[u8]) -> Result<(), PushError> {
        let name = digest(bytes);
        let path = format!("/v2/{}/blobs/{name}", self.repository);
        let found = self.send("HEAD", &path, None)?;
        if found.status == 200 {
            return Ok(());
        }
        if passes(found.status) {
            return self.expect(&[], found).map(|_| ());
        }
        // Any other answer comes again to the next request, and then with a text.
        let uploads = format!("/v2/{}/blobs/uploads/", self.repository);
        let begun = self.send("POST", &uploads, Some(("application/octet-stream", &[])))?;
        let begun = self.expect(&[202], begun)?;
        let upload = begun
            .header("location")
            .ok_or_else(|| self.odd("does not say where to upload to"))?;
        let upload = within(&self.base, &uploads, upload).map_err(|what| self.odd(&what))?;
        let joint = if upload.contains('?') { '&' } else { '?' };
        let upload = format!("{upload}{joint}digest={name}");
        let stored = self.send("PUT", &upload, Some(("application/octet-stream", bytes)))?;
        let stored = self.expect(&[201], stored)?;
        self.same(&stored, &name)
    }

    fn manifest(&mut self, tag: &str, manifest: &[u8]) -> Result<(), PushError> {
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        let stored = self.send("PUT", &path, Some((super::MANIFEST, manifest)))?;
        let stored = self.expect(&[201], stored)?;
        self.same(&stored, &digest(manifest))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer, PushError> {
        let left = self
            .until
            .saturating_duration_since(Instant::now())
            .max(Duration::from_secs(1));
        // An upload may use all the remaining time.
        let timeout = if body.is_some_and(|(_, bytes)| !bytes.is_empty()) {
            left
        } else {
            left.min(TIMEOUT)
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
            .send_within(timeout, method, path, &headers, content)
            .map_err(|sentence| PushError::Temporary(sentence, None))
    }

    /// The answer, if its status is one of these.
    fn expect(&self, statuses: &[u16], answer: Answer) -> Result<Answer, PushError> {
        let (host, user, repository) = (&self.host, &self.registry.user, self.repository);
        let status = answer.status;
        if statuses.contains(&status) {
            return Ok(answer);
        }
        let said = self.said(&answer);
        let sentence = match status {
            status if passes(status) => {
                let wait = answer
                    .header("retry-after")
                    .and_then(|text| text.trim().parse().ok());
                let sentence = format!(
                    "the registry {host} cannot take the image now: {said}; try again a little later"
                );
                return Err(PushError::Temporary(
                    sentence,
                    wait.map(Duration::from_secs),
                ));
            }
            300..=399 => {
                format!("the registry {host} points elsewhere ({said}), which is not followed")
            }
            401 => format!("the registry {host} does not accept the password of {user}: {said}"),
            403 => format!("the registry {host} does not let {user} push to {repository}: {said}"),
            _ => format!("the registry {host} does not take the image: {said}"),
        };
        Err(PushError::Final(Failure::failed(sentence)))
    }

    /// Checks the digest that the registry reports for what it stored, if it reports one.
    fn same(&self, stored: &Answer, name: &str) -> Result<(), PushError> {
        match stored.header("docker-content-digest") {
            Some(other) if other != name => Err(self.odd("stored something else than was sent")),
            _ => Ok(()),
        }
    }

    fn odd(&self, what: &str) -> PushError {
        PushError::Final(Failure::failed(format!(
            "the registry {} {}",
            self.host,
            self.clean(what)
        )))
    }

    /// The status, with the registry's own text if there is any: `HTTP 401 (UNAUTHORIZED:
    /// authentication required)`.
    fn said(&self, answer: &Answer) -> String {
        let text = errors(&answer.body).or_else(|| line(&answer.body));
        match text {
            Some(text) => format!("HTTP {} ({})", answer.status, quote(&self.clean(&text))),
            None => format!("HTTP {}", answer.status),
        }
    }

    /// A registry's text, without secrets of ours that it may repeat.
    fn clean(&self, said: &str) -> String {
        let header = self.authorization.trim_start_matches("Basic ");
        let secrets = [self.registry.password.as_str(), header];
        let hidden = secrets.into_iter().filter(|secret| !secret.is_empty());
        hidden.fold(said.to_owned(), |text, secret| {
            text.replace(secret, "[hidden]")
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

/// The errors of the distribution API: `{"errors":[{"code":…,"message":…}]}`.
fn errors(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |error: &Value| {
        let part = |name| {
            let text = error.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let parts: Vec<_> = [part("code"), part("message")]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    };
    let errors = value.get("errors")?.as_array()?.iter().take(MAX_ERRORS);
    let texts: Vec<_> = errors.filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The first line of a text that is neither markup nor data for programs.
fn line(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let line = text.trim_start().lines().next()?.trim();
    let is_text = !line.is_empty() && !line.starts_with(['<', '{', '[']);
    is_text.then(|| line.to_owned())
}

/// The registry's own URL, if a password may be sent there. The error is a whole sentence.
fn origin(base: &str) -> Result<Uri, String> {
    let refuse = |what| Err(format!("{base:?} is no registry to push to: {what}"));
    let Ok(uri) = base.parse::<Uri>() else {
        return refuse("it is no URL");
    };
    let Some(authority) = uri.authority() else {
        return refuse("it is no URL with a host");
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return refuse("it has more than a host and a port");
    }
    if authority.as_str().contains('@') {
        return refuse("it has a user");
    }
    if !keeps_secrets(base) {
        return refuse("the password would be sent unencrypted");
    }
    Ok(uri)
}

/// The path at the registry, with its query, that a `Location` header names. `here` is the path of
/// the request. Only the path of the location is used: a registry behind a proxy says `http`
/// although it is reached by `https`. The error follows "the registry HOST".
fn within(base: &Uri, here: &str, location: &str) -> Result<String, String> {
    let location = location.split('#').next().unwrap_or_default();
    if location.len() > MAX_URL || !location.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("names a place that is no URL".to_owned());
    }
    if location.starts_with('/') {
        return Ok(location.to_owned());
    }
    if !location.contains("://") {
        return Ok(format!("{here}{location}"));
    }
    let no_url = |_| "names a place that is no URL".to_owned();
    let uri: Uri = location.parse().map_err(no_url)?;
    let usual = if base.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    let port = |uri: &Uri| uri.port_u16().unwrap_or(usual);
    let name = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    if (name(&uri), port(&uri)) != (name(base), port(base)) {
        let authority = uri.authority();
        let host = authority.map_or("another host", |authority| authority.as_str());
        return Err(format!(
            "wants the upload to go to {host}, which would get the password: that is refused"
        ));
    }
    let path = uri.path_and_query();
    Ok(path.map_or_else(|| "/".to_owned(), ToString::to_string))
}

#[cfg(test)]
mod tests;
