//! Requests to Fly.io: their headers, and when they are repeated.
//!
//! Owns the token, and which requests are repeated, how often and after what pause. Other modules
//! decide what to request.
//!
//! The platform allows one request a second for each action, and bursts of three (Machines API,
//! "Rate Limits").

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::env::Env;
use super::error::{ApiError, Refusal};
use super::profile::Profile;
use super::token::Token;
use crate::exit::Failure;
use crate::provision::Console;
use crate::provision::http::{Answer, Body, Http, TIMEOUT};
use crate::provision::quote::quote;

/// How often a request is repeated, after pauses of 1, 2, 4 and 8 seconds.
const REPEATS: u32 = 4;

/// The longest pause that a `Retry-After` header can impose.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How long the platform may not know an app after its creation. flyctl waits as long
/// (`flaps/retry.go`).
pub const FRESH: Duration = Duration::from_secs(60);

/// The pause between requests while waiting for a change.
pub const TICK: Duration = Duration::from_secs(1);

/// One request to the Machines API.
#[derive(Debug)]
pub struct Call<'a> {
    method: &'static str,
    /// The path after `/v1`.
    path: &'a str,
    body: Option<&'a Value>,
    /// Whether sending the request twice is harmless. Any other request is repeated only if the
    /// platform rejected it unprocessed.
    repeatable: bool,
    timeout: Duration,
}

impl<'a> Call<'a> {
    /// A request that changes nothing.
    pub fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            body: None,
            repeatable: true,
            timeout: TIMEOUT,
        }
    }

    /// A change, which is requested once.
    pub fn post(path: &'a str, body: &'a Value) -> Self {
        Self {
            method: "POST",
            body: Some(body),
            repeatable: false,
            ..Self::get(path)
        }
    }

    /// A change without a body that is harmless when it is repeated.
    pub fn repeatable(method: &'static str, path: &'a str) -> Self {
        Self {
            method,
            ..Self::get(path)
        }
    }

    /// The same request with another time limit for the answer.
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

/// The APIs of Fly.io, with the token for them.
pub struct Api {
    machines: Http,
    graphql: Http,
    token: Option<Token>,
    env: Box<dyn Env>,
    /// The app that was created just now, and the time until which the platform may not know it.
    fresh: Option<(String, Instant)>,
}

impl Api {
    /// Creates the connection. No request is sent yet.
    pub fn new(profile: &Profile, env: Box<dyn Env>) -> Self {
        Self {
            machines: Http::new(&profile.machines),
            graphql: Http::new(&profile.graphql),
            token: None,
            env,
            fresh: None,
        }
    }

    /// Gets the token, unless there is one. Without a console nobody is asked for it.
    pub fn log_in(
        &mut self,
        profile: &Profile,
        console: Option<&mut dyn Console>,
    ) -> Result<(), Failure> {
        if self.token.is_none() {
            profile.check()?;
            self.token = Some(profile.token(console)?);
        }
        Ok(())
    }

    /// The clock, and the routes of this machine.
    pub fn env(&self) -> &dyn Env {
        &*self.env
    }

    /// The password for the registry.
    pub fn password(&self) -> Zeroizing<String> {
        self.token.as_ref().map(Token::password).unwrap_or_default()
    }

    /// Notes that this app was created just now, so that the platform may not know it for a while.
    pub fn created(&mut self, app: &str) {
        self.fresh = Some((app.to_owned(), self.env.now() + FRESH));
    }

    /// Forgets the app that was created just now. A call that destroys an app must not wait for one
    /// to appear.
    pub fn forget(&mut self) {
        self.fresh = None;
    }

    /// Whether this app was created so recently that the platform may not know it.
    pub fn is_fresh(&self, app: &str) -> bool {
        let fresh = self.fresh.as_ref();
        fresh.is_some_and(|(fresh, until)| fresh == app && self.env.now() < *until)
    }

    /// Sends a request, repeats it where that may help, and parses the answer.
    pub fn send<T: DeserializeOwned>(&mut self, call: &Call<'_>) -> Result<T, ApiError> {
        let path = format!("/v1{}", call.path);
        let header = self.token.as_ref().map(Token::header).unwrap_or_default();
        let body = call.body.map_or(Body::Empty, Body::Json);
        let app = call.path.strip_prefix("/apps/").unwrap_or_default();
        let app = app.split(['/', '?']).next().unwrap_or_default();
        let mut repeats = 0;
        loop {
            let answer = self.machines.send_within(
                call.timeout,
                call.method,
                &path,
                &headers(&header),
                body,
            );
            let (error, pause) = match self.judged(answer) {
                Ok(answer) => return read(&answer),
                Err(error) => error,
            };
            if matches!(error.status(), Some(401 | 404)) && self.is_fresh(app) {
                self.env.sleep(TICK);
                continue;
            }
            let again = error.is_too_fast() || (call.repeatable && error.is_temporary());
            if !again || repeats == REPEATS {
                return Err(error);
            }
            self.env.sleep(pause_after(repeats, pause));
            repeats += 1;
        }
    }

    /// Sends a query to the GraphQL API, which knows the organisations.
    pub fn graphql(&mut self, query: &str) -> Result<Value, ApiError> {
        let header = self.token.as_ref().map(Token::graphql_header);
        let header = header.unwrap_or_default();
        let body = serde_json::json!({ "query": query });
        let mut repeats = 0;
        loop {
            let answer =
                self.graphql
                    .send("POST", "/graphql", &headers(&header), Body::Json(&body));
            let (error, pause) = match self.judged(answer) {
                Ok(answer) => return self.data(&answer),
                Err(error) => error,
            };
            if !(error.is_too_fast() || error.is_temporary()) || repeats == REPEATS {
                return Err(error);
            }
            self.env.sleep(pause_after(repeats, pause));
            repeats += 1;
        }
    }

    /// The answer if it is a success, else the error and the pause that the server asks for.
    fn judged(
        &self,
        answer: Result<Answer, String>,
    ) -> Result<Answer, (ApiError, Option<Duration>)> {
        let answer =
            answer.map_err(|sentence| (ApiError::Unanswered(self.redact(&sentence)), None))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let pause = answer
            .header("retry-after")
            .and_then(|text| text.parse().ok());
        let refusal = Refusal::read(&answer, self.token.as_ref());
        Err((ApiError::Refused(refusal), pause.map(Duration::from_secs)))
    }

    /// The data of a GraphQL answer. GraphQL reports errors with the status 200.
    fn data(&self, answer: &Answer) -> Result<Value, ApiError> {
        let body: Value = read(answer)?;
        let error = &body["errors"][0];
        let Some(message) = error["message"].as_str() else {
            return Ok(body["data"].clone());
        };
        if error["extensions"]["code"] == "UNAUTHORIZED" {
            let refusal = Refusal::unauthorized(answer, message, self.token.as_ref());
            return Err(ApiError::Refused(refusal));
        }
        Err(ApiError::Invalid(quote(&self.redact(message))))
    }

    fn redact(&self, text: &str) -> String {
        let token = self.token.as_ref();
        token.map_or_else(|| text.to_owned(), |token| token.redact(text))
    }
}

fn headers(authorization: &str) -> [(&str, &str); 2] {
    [
        ("authorization", authorization),
        ("accept", "application/json"),
    ]
}

fn pause_after(repeats: u32, asked: Option<Duration>) -> Duration {
    let own = TICK * 2_u32.saturating_pow(repeats);
    asked.unwrap_or(own).min(MAX_PAUSE)
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ApiError> {
    let body = if answer.body.is_empty() {
        b"null".as_slice()
    } else {
        &answer.body
    };
    serde_json::from_slice(body).map_err(|error| ApiError::Invalid(error.to_string()))
}

/// Encodes a text as one segment of a path or one value of a query (RFC 3986, unreserved
/// characters).
pub fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
