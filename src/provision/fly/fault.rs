//! Why Fly.io did not do what was asked, in its own words.
//!
//! Owns how refusals are parsed and shown. Error bodies and codes: `flaps/flaps.go` and
//! `flaps/flaps_error.go` in superfly/fly-go.

use serde::Deserialize;

use super::token::Token;
use crate::exit::Failure;
use crate::provision::http::Answer;

/// How much of the platform's text is shown, in characters.
const MAX_WORDS: usize = 600;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There was no answer, as this sentence says. Whether the request had an effect is unknown.
    Unanswered(String),
    /// The platform refused.
    Refused(Refusal),
    /// The answer could not be parsed.
    Odd(String),
}

/// A refusal by the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Fly's own error code, such as `insufficient_capacity`.
    code: Option<String>,
    words: String,
    /// The header `fly-request-id`, by which Fly's support finds the request.
    request: Option<String>,
    source: String,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    status: Option<serde_json::Value>,
}

impl Refusal {
    /// Parses an answer that is not a success.
    #[must_use]
    pub fn read(answer: &Answer, token: &Token) -> Self {
        let body: Option<ErrorBody> = serde_json::from_slice(&answer.body).ok();
        let text = answer.text();
        let body = body.unwrap_or_default();
        let words = [body.message, body.error, Some(text)].into_iter().flatten();
        let words = words
            .map(|words| tidy(&token.redact(&words)))
            .find(|words| !words.is_empty());
        Self {
            status: answer.status,
            code: body.status.and_then(|code| Some(code.as_str()?.to_owned())),
            words: words.unwrap_or_else(|| "it gave no reason".to_owned()),
            request: answer.header("fly-request-id").map(tidy),
            source: token.source().to_owned(),
        }
    }

    /// The refusal for a token that GraphQL rejected.
    #[must_use]
    pub fn unauthorised(answer: &Answer, words: &str, token: &Token) -> Self {
        Self {
            status: 401,
            code: None,
            words: tidy(&token.redact(words)),
            request: answer.header("fly-request-id").map(tidy),
            source: token.source().to_owned(),
        }
    }

    /// Whether the name of an app is taken. Fly's code decides if there is one, as in fly-go.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        match self.code.as_deref().filter(|code| !code.is_empty()) {
            Some(code) => code == "name_taken",
            None => self.status == 409 || self.words.contains("already been taken"),
        }
    }

    /// Whether the region, or the volume's host, has no capacity left. If there is no code, the
    /// text decides, such as "insufficient memory available to fulfill request".
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.code.as_deref() == Some("insufficient_capacity")
            || (!matches!(self.status, 401 | 403) && self.words.contains("insufficient "))
    }

    fn tell(&self, doing: &str) -> String {
        let request = self
            .request
            .as_ref()
            .map(|id| format!(", request {id}"))
            .unwrap_or_default();
        format!(
            "Fly.io would not {doing}: {} (status {}{request}){}",
            self.words,
            self.status,
            self.hint()
        )
    }

    fn hint(&self) -> String {
        let source = &self.source;
        let words = self.words.to_lowercase();
        if self.status == 401 {
            return format!(
                ". It does not take the token from {source}, which may have expired: fly tokens create org \
                 makes another one to set as FLY_API_TOKEN, or log in again with fly auth login"
            );
        }
        if words.contains("trial") {
            return ". On trial, Fly.io stops every machine after 5 minutes and gives no IPv4 address: a \
                    card on the account ends that"
                .to_owned();
        }
        if self.status == 403 {
            return format!(
                ". The token from {source} has no right to it: fly tokens create org makes one that has"
            );
        }
        if self.is_full() {
            return ". Another region may have room: name it with --region".to_owned();
        }
        String::new()
    }
}

impl Fault {
    /// The status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Whether the outcome of the request is unknown. The caller may then look for the result, and
    /// another attempt may succeed.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Refused(refusal) => matches!(refusal.status, 500..=599) && !refusal.is_full(),
            Self::Odd(_) => false,
        }
    }

    /// Whether the region has no capacity left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_full())
    }

    /// The failure to report. `doing` names the request, as in "create a volume".
    #[must_use]
    pub fn failure(&self, doing: &str) -> Failure {
        Failure::failed(match self {
            Self::Unanswered(sentence) => {
                format!("Fly.io could not be asked to {doing}: {sentence}")
            }
            Self::Refused(refusal) => refusal.tell(doing),
            Self::Odd(what) => {
                format!("Fly.io's answer when asked to {doing} is not understood: {what}")
            }
        })
    }
}

/// Text from outside as one line of limited length, without control characters.
#[must_use]
pub fn tidy(words: &str) -> String {
    let line: Vec<&str> = words.split_whitespace().collect();
    let line = line.join(" ");
    let mut line: String = line
        .chars()
        .filter(|found| !found.is_control())
        .take(MAX_WORDS)
        .collect();
    let end = line.trim_end_matches(['.', ' ']).len();
    line.truncate(end);
    line
}
