//! Everything that a test of the stand-in needs: a network, a registry, the stand-in, and a client.
//!
//! Owns plain requests, for which no client of the project is used, and how a program gets into the
//! registry.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use crate::common::network::Network;
use crate::common::wait::holds_within;
use crate::fly::registry::Registry;
use crate::fly::standin::containers::Podman;
use crate::fly::standin::{Options, Standin};

/// A plain token.
pub const TOKEN: &str = "plain-token-of-a-test";

/// How long a test waits for a condition.
const DEADLINE: Duration = Duration::from_secs(30);

/// All parts, in the order in which they are dropped.
pub struct Stage {
    pub standin: Standin,
    pub registry: Registry,
    agent: Agent,
    token: String,
    _network: Network,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub headers: HeaderMap,
}

impl Stage {
    /// A quick platform without a lag, unless `change` sets something else.
    pub fn new(change: impl FnOnce(&mut Options)) -> Self {
        let network = Network::enter();
        let registry = Registry::start(TOKEN);
        let mut options = Options::new(TOKEN, registry.address()).quick();
        options.lag.requests = 0;
        change(&mut options);
        let token = options.token.clone();
        let standin = Standin::start(options);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE * 2));
        Self {
            standin,
            registry,
            agent: config.build().into(),
            token,
            _network: network,
        }
    }

    /// Sends a request with the account's token.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let authorization = format!("Bearer {}", self.token);
        self.ask_as(Some(&authorization), method, path, body)
            .expect("there is an answer")
    }

    /// Sends a request with any authorization. Returns `None` if there is no answer.
    pub fn ask_as(
        &self,
        authorization: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.standin.url()));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let answer = match body {
            None => self.agent.run(request.body(()).expect("a request")),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                let request = request.body(body.to_string()).expect("a request");
                let request = self
                    .agent
                    .configure_request(request)
                    .allow_non_standard_methods(true)
                    .build();
                self.agent.run(request)
            }
        };
        let (parts, mut body) = answer.ok()?.into_parts();
        let text = body.read_to_string().expect("the answer is text");
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).expect("it is JSON")
        };
        Some(Reply {
            status: parts.status.as_u16(),
            body,
            headers: parts.headers,
        })
    }

    /// Repeats a request until the rate limit allows it, and asserts the status.
    pub fn expect(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> Value {
        let mut reply = self.ask(method, path, body);
        let until = Instant::now() + DEADLINE;
        while reply.status == 429 && Instant::now() < until {
            thread::yield_now();
            reply = self.ask(method, path, body);
        }
        assert_eq!(reply.status, status, "{method} {path}: {:?}", reply.body);
        reply.body
    }

    /// Packs the program under test into an image, pushes it, and returns the image's name.
    pub fn push(&self, repository: &str) -> String {
        let directory = tempfile::Builder::new()
            .prefix("push.")
            .tempdir()
            .expect("a directory");
        let at = directory.path();
        fs::create_dir(at.join("root")).expect("a directory is made");
        fs::copy(program(), at.join("root/skypipe")).expect("the program is copied");
        let archive = at.join("root.tar").display().to_string();
        let packed = Command::new("tar")
            .arg("-C")
            .arg(at.join("root"))
            .args(["-cf", &archive, "skypipe"])
            .status();
        assert!(packed.expect("tar starts").success());
        let podman = Podman::new(at, self.registry.address(), TOKEN);
        let name = format!("{}/{repository}:1", self.registry.address());
        podman
            .call(&[
                "import",
                "--quiet",
                "--change",
                "ENTRYPOINT [\"/skypipe\"]",
                &archive,
                &name,
            ])
            .expect("imported");
        let auth = at.join("auth.json").display().to_string();
        podman
            .call(&[
                "push",
                "--quiet",
                "--tls-verify=false",
                "--authfile",
                &auth,
                &name,
            ])
            .expect("pushed");
        name
    }
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_skypipe").into()
}

/// Waits until a condition holds.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(holds_within(DEADLINE, holds), "{what} does not come about");
}
