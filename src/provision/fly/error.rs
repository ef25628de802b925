//! Why Fly.io did not do what was asked, in its own words.
//!
//! Owns how refusals are parsed, classified and shown. Error bodies and codes: `flaps/flaps.go` and
//! `flaps/flaps_error.go` in superfly/fly-go.

use serde::Deserialize;

use super::token::Token;
use crate::exit::Failure;
use crate::provision::http::Answer;
use crate::provision::quote::quote;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// There was no answer, as this sentence says. Whether the request had an effect is unknown.
    Unanswered(String),
    /// The platform refused.
    Refused(Refusal),
    /// The answer could not be parsed.
    Invalid(String),
}

/// A refusal by the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    /// Fly's own error code, such as `insufficient_capacity`.
    code: Option<String>,
    reason: String,
    /// The header `fly-request-id`, by which Fly's support finds the request.
    request: Option<String>,
    /// Where the token comes from.
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
    pub fn read(answer: &Answer, token: Option<&Token>) -> Self {
        let body: Option<ErrorBody> = serde_json::from_slice(&answer.body).ok();
        let body = body.unwrap_or_default();
        let texts = [body.message, body.error, Some(answer.text())];
        let reason = texts
            .into_iter()
            .flatten()
            .map(|text| redacted(&text, token))
            .find(|text| !text.is_empty());
        Self {
            status: answer.status,
            code: body.status.and_then(|code| Some(code.as_str()?.to_owned())),
            reason: reason.unwrap_or_else(|| "it gave no reason".to_owned()),
            request: answer.header("fly-request-id").map(quote),
            source: token.map_or_else(String::new, |token| token.source().to_owned()),
        }
    }

    /// The refusal for a token that GraphQL rejected.
    pub fn unauthorized(answer: &Answer, message: &str, token: Option<&Token>) -> Self {
        Self {
            status: 401,
            code: None,
            reason: redacted(message, token),
            ..Self::read(answer, token)
        }
    }

    /// Whether the region, or the volume's host, has no capacity left. If there is no code, the
    /// text decides, such as "insufficient memory available to fulfill request".
    fn is_full(&self) -> bool {
        self.code.as_deref() == Some("insufficient_capacity")
            || (!matches!(self.status, 401 | 403) && self.reason.contains("insufficient "))
    }

    fn sentence(&self, doing: &str) -> String {
        let request = self.request.as_ref();
        let request = request.map(|id| format!(", request {id}"));
        format!(
            "Fly.io would not {doing}: {} (status {}{}){}",
            self.reason,
            self.status,
            request.unwrap_or_default(),
            self.hint()
        )
    }

    fn hint(&self) -> String {
        let source = &self.source;
        if self.status == 401 {
            return format!(
                ". Fly.io rejects the token from {source}, which may have expired: log in again with fly auth \
                 login, or set FLY_API_TOKEN (fly tokens create org makes a token)"
            );
        }
        if self.reason.to_lowercase().contains("trial") {
            return ". On trial, Fly.io stops every machine after 5 minutes and gives no IPv4 address: a \
                    card on the account ends that"
                .to_owned();
        }
        if self.status == 403 {
            return format!(
                ". The token from {source} does not allow this: fly tokens create org makes one that does"
            );
        }
        if self.is_full() {
            return ". Another region may have room: name it with --region".to_owned();
        }
        String::new()
    }
}

fn redacted(text: &str, token: Option<&Token>) -> String {
    quote(&token.map_or_else(|| text.to_owned(), |token| token.redact(text)))
}

impl ApiError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Whether the platform rejected the request unprocessed because there were too many.
    pub fn is_too_fast(&self) -> bool {
        self.status() == Some(429)
    }

    /// Whether the outcome of the request is unknown. The caller may then look for the result, and
    /// another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Refused(refusal) => matches!(refusal.status, 500..=599) && !refusal.is_full(),
            Self::Invalid(_) => false,
        }
    }

    /// Whether the region has no capacity left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_full())
    }

    /// Whether the name of an app is taken. Fly's code decides if there is one, as in fly-go.
    pub fn is_name_taken(&self) -> bool {
        let Self::Refused(refusal) = self else {
            return false;
        };
        match refusal.code.as_deref().filter(|code| !code.is_empty()) {
            Some(code) => code == "name_taken",
            None => refusal.status == 409 || refusal.reason.contains("already been taken"),
        }
    }

    /// The failure to report. `doing` names the request, as in "create a volume".
    pub fn failure(&self, doing: &str) -> Failure {
        Failure::failed(match self {
            Self::Unanswered(sentence) => {
                format!("Fly.io could not be asked to {doing}: {sentence}")
            }
            Self::Refused(refusal) => refusal.sentence(doing),
            Self::Invalid(what) => {
                format!("Fly.io's answer when asked to {doing} is not understood: {what}")
            }
        })
    }
}
