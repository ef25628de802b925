//! Requests to Fly.io: their headers, and when they are repeated.
//!
//! Owns which requests are repeated, how often and after what pause. Other modules decide what to
//! request.
//!
//! The platform allows one request a second for each action, and bursts of three (Machines API,
//! "Rate Limits").

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::fault::{Fault, Refusal};
use super::surroundings::Surroundings;
use super::token::Token;
use crate::provision::http::{Answer, Body, Http, PATIENCE};

/// How often a request is repeated, after pauses of 1, 2, 4 and 8 seconds.
const AGAIN: u32 = 4;

/// The longest pause that a `Retry-After` header can impose.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How long the platform may not know an app after its creation. flyctl waits as long
/// (`flaps/retry.go`).
pub const FRESH: Duration = Duration::from_secs(60);

/// The pause between requests while waiting for a change.
pub const TICK: Duration = Duration::from_secs(1);

/// One request to the Machines API.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The HTTP method.
    pub method: &'static str,
    /// The path after `/v1`.
    pub path: &'a str,
    /// The JSON body.
    pub body: Option<&'a Value>,
    /// Whether sending the request twice is harmless. Any other request is repeated only if the
    /// platform rejected it unprocessed.
    pub repeatable: bool,
    /// The time limit for the answer.
    pub patience: Duration,
}

impl<'a> Ask<'a> {
    /// A request that changes nothing.
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

    /// A change, which is requested once.
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

/// The APIs of Fly.io, with the token for them.
pub struct Api {
    machines: Http,
    graphql: Http,
    token: Token,
    /// Whether Fly.io rejected the macaroons, so that the user's token is used instead.
    plain: bool,
    /// The app that was created just now, and the time until which the platform may not know it.
    fresh: Option<(String, Instant)>,
}

impl Api {
    /// Creates the connection. No request is sent yet.
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

    /// The password for the registry.
    #[must_use]
    pub fn password(&self) -> Zeroizing<String> {
        self.token.password(self.plain)
    }

    /// Notes that this app was created just now, so that the platform may not know it for a while.
    pub fn created(&mut self, app: &str, around: &dyn Surroundings) {
        self.fresh = Some((app.to_owned(), around.now() + FRESH));
    }

    /// Forgets the app that was created just now. A call that destroys an app must not wait for one
    /// to appear.
    pub fn forget(&mut self) {
        self.fresh = None;
    }

    /// Whether this app was created so recently that the platform may not know it.
    #[must_use]
    pub fn is_fresh(&self, app: &str, around: &dyn Surroundings) -> bool {
        self.fresh
            .as_ref()
            .is_some_and(|(fresh, until)| fresh == app && around.now() < *until)
    }

    /// Sends a request, repeats it where that may help, and parses the answer.
    ///
    /// # Errors
    ///
    /// When the platform refused, or did not answer.
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

    /// Switches to the user's token if the macaroons were rejected, and returns whether it
    /// switched. The macaroons in flyctl's file are valid for minutes, the user's token next to
    /// them for long.
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

    /// Sends a query to the GraphQL API, which knows the organisations.
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

    /// The data of a GraphQL answer. GraphQL reports errors with the status 200.
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

/// Whether the platform rejected the request unprocessed because there were too many.
fn is_too_fast(fault: &Fault) -> bool {
    fault.status() == Some(429)
}

/// The result of one request, and the pause that the server asks for.
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

/// Encodes a text as one segment of a path or one value of a query (RFC 3986, unreserved
/// characters).
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
