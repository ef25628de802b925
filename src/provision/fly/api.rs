//! Requests to Fly.io: their headers, and when they are made again.
//!
//! Owns patience: what is asked again, how often and after what time. What is asked is for others.
//!
//! The limit is one request a second for each action, three at once (Machines API, "Rate Limits").

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::fault::{Fault, Refusal};
use super::surroundings::Surroundings;
use super::token::Token;
use crate::provision::http::{Answer, Body, Http, PATIENCE};

/// How often a request is made again, after pauses of 1, 2, 4 and 8 seconds.
const AGAIN: u32 = 4;

/// The longest pause that a `Retry-After` can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How long the platform may not know an app that was created: flyctl waits as long (`flaps/retry.go`).
pub const FRESH: Duration = Duration::from_secs(60);

/// The pause between requests for what will be there in a moment.
pub const TICK: Duration = Duration::from_secs(1);

/// One request to the Machines API.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: &'static str,
    /// The path after `/v1`.
    pub path: &'a str,
    /// What is sent, as JSON.
    pub body: Option<&'a Value>,
    /// Whether it does no harm to make it twice. One that must not be is made again only where it
    /// was refused before it was looked at.
    pub repeatable: bool,
    /// How long the answer may take.
    pub patience: Duration,
}

impl<'a> Ask<'a> {
    /// A look at something.
    #[must_use]
    pub fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            body: None,
            repeatable: true,
            patience: PATIENCE,
        }
    }

    /// A change, made once.
    #[must_use]
    pub fn post(path: &'a str, body: &'a Value) -> Self {
        Self {
            method: "POST",
            path,
            body: Some(body),
            repeatable: false,
            patience: PATIENCE,
        }
    }
}

/// Fly.io, and who we are there.
pub struct Api {
    machines: Http,
    graphql: Http,
    token: Token,
    /// Whether macaroons were not taken, so that the user's token is used.
    plain: bool,
    /// The app that was created just now, and until when it may be unknown.
    fresh: Option<(String, Instant)>,
}

impl Api {
    /// Nobody is asked yet.
    #[must_use]
    pub fn new(machines: &str, graphql: &str, token: Token) -> Self {
        let (machines, graphql) = (Http::new(machines), Http::new(graphql));
        Self {
            machines,
            graphql,
            token,
            plain: false,
            fresh: None,
        }
    }

    /// What the registry takes as the password.
    #[must_use]
    pub fn password(&self) -> Zeroizing<String> {
        self.token.password(self.plain)
    }

    /// That this app was created in this moment, so that for a while it may be unknown.
    pub fn created(&mut self, app: &str, around: &dyn Surroundings) {
        self.fresh = Some((app.to_owned(), around.now() + FRESH));
    }

    /// That no app is waited for any more, as when one is to go.
    pub fn forget(&mut self) {
        self.fresh = None;
    }

    /// Whether this app was created so lately that it may be unknown.
    #[must_use]
    pub fn is_fresh(&self, app: &str, around: &dyn Surroundings) -> bool {
        self.fresh
            .as_ref()
            .is_some_and(|(fresh, until)| fresh == app && around.now() < *until)
    }

    /// Makes a request, again where that may help, and reads the answer.
    ///
    /// # Errors
    ///
    /// When it was refused, or there was no answer.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        ask: &Ask<'_>,
        around: &dyn Surroundings,
    ) -> Result<T, Fault> {
        let mut tries = 0;
        loop {
            let outcome = self.once(ask);
            let Err(fault) = &outcome.fault() else {
                return read(&outcome.0?);
            };
            if self.turns_to_the_user(fault) {
                continue;
            }
            let fresh =
                matches!(fault.status(), Some(401 | 404)) && self.is_in_fresh(ask.path, around);
            if fresh {
                around.sleep(TICK);
                continue;
            }
            let again = is_too_fast(fault) || (ask.repeatable && fault.is_passing());
            if !again || tries == AGAIN {
                return Err(fault.clone());
            }
            around.sleep(outcome.pause(tries));
            tries += 1;
        }
    }

    /// The macaroons in flyctl's file are good for minutes, the user's token beside them for long.
    fn turns_to_the_user(&mut self, fault: &Fault) -> bool {
        let turns = fault.status() == Some(401) && self.token.has_both() && !self.plain;
        self.plain |= turns;
        turns
    }

    fn is_in_fresh(&self, path: &str, around: &dyn Surroundings) -> bool {
        let app = path
            .strip_prefix("/apps/")
            .and_then(|rest| rest.split(['/', '?']).next());
        app.is_some_and(|app| self.is_fresh(app, around))
    }

    fn once(&self, ask: &Ask<'_>) -> Outcome {
        let path = format!("/v1{}", ask.path);
        let header = self.token.header(self.plain);
        let headers = [
            ("authorization", header.as_str()),
            ("accept", "application/json"),
        ];
        let body = ask.body.map_or(Body::Empty, Body::Json);
        let answer = self
            .machines
            .send_within(ask.patience, ask.method, &path, &headers, body);
        self.outcome(answer)
    }

    fn outcome(&self, answer: Result<Answer, String>) -> Outcome {
        let answer = answer.map_err(|sentence| Fault::Unanswered(self.token.redact(&sentence)));
        let pause = answer
            .as_ref()
            .ok()
            .and_then(|answer| answer.header("retry-after")?.parse().ok());
        let answer = answer.and_then(|answer| {
            let good = (200..300).contains(&answer.status);
            if good {
                Ok(answer)
            } else {
                Err(Fault::Refused(Refusal::read(&answer, &self.token)))
            }
        });
        Outcome(answer, pause.map(Duration::from_secs))
    }

    /// Asks the GraphQL API, which knows the organisations.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn graphql(&mut self, query: &str, around: &dyn Surroundings) -> Result<Value, Fault> {
        let header = self.token.graphql_header();
        let headers = [
            ("authorization", header.as_str()),
            ("accept", "application/json"),
        ];
        let body = serde_json::json!({ "query": query });
        for tries in 0.. {
            let outcome =
                self.outcome(
                    self.graphql
                        .send("POST", "/graphql", &headers, Body::Json(&body)),
                );
            let Err(fault) = outcome.fault() else {
                return self.data(&outcome.0?);
            };
            if !(is_too_fast(&fault) || fault.is_passing()) || tries == AGAIN {
                return Err(fault);
            }
            around.sleep(outcome.pause(tries));
        }
        unreachable!("the tries above come to an end")
    }

    /// GraphQL tells its errors in answers with the status 200.
    fn data(&self, answer: &Answer) -> Result<Value, Fault> {
        let body: Value = read(answer)?;
        let error = &body["errors"][0];
        if let Some(words) = error["message"].as_str() {
            if error["extensions"]["code"] == "UNAUTHORIZED" {
                let refusal = Refusal::unauthorised(answer, words, &self.token);
                return Err(Fault::Refused(refusal));
            }
            return Err(Fault::Odd(super::fault::tidy(&self.token.redact(words))));
        }
        Ok(body["data"].clone())
    }
}

/// Whether it was refused unseen, because there were too many.
fn is_too_fast(fault: &Fault) -> bool {
    fault.status() == Some(429)
}

/// What came of one request, and the pause that the server asks for.
struct Outcome(Result<Answer, Fault>, Option<Duration>);

impl Outcome {
    fn fault(&self) -> Result<(), Fault> {
        self.0.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn pause(&self, tries: u32) -> Duration {
        self.1
            .unwrap_or(TICK * 2_u32.saturating_pow(tries))
            .min(MAX_PAUSE)
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    let body = if answer.body.is_empty() {
        b"null".as_slice()
    } else {
        &answer.body
    };
    serde_json::from_slice(body).map_err(|error| Fault::Odd(error.to_string()))
}

/// A text as one segment of a path or one value of a query (RFC 3986, unreserved characters).
#[must_use]
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            use std::fmt::Write;
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
