//! Why Fly.io did not do what was asked, in its own words.
//!
//! Owns how refusals are read and told. Error bodies and codes: `flaps/flaps.go` and
//! `flaps/flaps_error.go` in superfly/fly-go.

use serde::Deserialize;

use super::token::Token;
use crate::exit::Failure;
use crate::provision::http::Answer;

/// How much of the platform's words is told, in characters.
const MAX_WORDS: usize = 600;

/// Why a request did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There was no answer; a sentence about that. Whether the request had an effect is not known.
    Unanswered(String),
    /// The platform refused.
    Refused(Refusal),
    /// What it answered is not understood.
    Odd(String),
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Fly's own code, such as `insufficient_capacity`.
    code: Option<String>,
    words: String,
    /// `fly-request-id`, by which their support finds it.
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
    /// Reads an answer that is no success.
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

    /// GraphQL's way to say that it does not take the token.
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

    /// Whether the name of an app is taken. Fly's code decides where there is one, as in fly-go.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        match self.code.as_deref().filter(|code| !code.is_empty()) {
            Some(code) => code == "name_taken",
            None => self.status == 409 || self.words.contains("already been taken"),
        }
    }

    /// Whether there is no room in the region, or on the volume's host. Where there is no code, it is
    /// told by words such as "insufficient memory available to fulfill request".
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

    /// Whether it is not known what came of the request, so that a look may tell, and another try may do better.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Refused(refusal) => matches!(refusal.status, 500..=599) && !refusal.is_full(),
            Self::Odd(_) => false,
        }
    }

    /// Whether there is no room in the region.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_full())
    }

    /// The failure to end with; `doing` is what was asked, as in "create a volume".
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

/// One line of bounded length without control characters, for words from outside.
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
