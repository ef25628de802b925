//! An observer of the network sees no API token of a platform.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tiny_http::{Response, Server};

use crate::common::Environment;
use crate::common::process::Run;

const TOKEN: &str = "fm2_a-token-that-nobody-may-see";

/// The variables that contain the addresses of Fly.io.
const PLACES: [&str; 3] = [
    "FLY_FLAPS_BASE_URL",
    "FLY_API_BASE_URL",
    "FLY_REGISTRY_HOST",
];

/// Runs `--reset` against the Fly.io at these addresses.
fn reset(environment: &Environment, at: [&str; 3]) -> Run {
    let run = environment.skypipe(&["--reset", "fly", "--yes"]);
    let run = run.var("FLY_API_TOKEN", TOKEN);
    let places = PLACES.into_iter().zip(at);
    places.fold(run, |run, (name, at)| run.var(name, at))
}

#[test]
fn a_token_is_not_sent_unencrypted_to_another_machine() {
    let environment = Environment::here();
    let (open, good) = ("http://sky.invalid:4280", "https://sky.invalid");
    for (number, name) in PLACES.into_iter().enumerate() {
        let mut at = [good; 3];
        at[number] = open;
        let outcome = reset(&environment, at).done();
        assert!(!outcome.stderr.contains(TOKEN), "{outcome}");
        outcome.told_at_last(2, &format!("{name}={open} is refused: your token would"));
    }
}

#[test]
fn a_token_for_this_machine_itself_goes_through_no_proxy() {
    let environment = Environment::here();
    let platform = Server::http("127.0.0.1:0").expect("loopback is there");
    let at = format!("http://{}", platform.server_addr());
    thread::spawn(move || {
        for request in platform.incoming_requests() {
            let _ = request.respond(Response::from_string("no").with_status_code(403));
        }
    });
    let proxy = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let through = format!("http://{}", proxy.local_addr().expect("it is bound"));
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    thread::spawn(move || {
        // Each connection is closed at once.
        for _ in proxy.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let variables = ["ALL_PROXY", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY"];
    let run = reset(&environment, [&at; 3]);
    let run = variables
        .into_iter()
        .fold(run, |run, name| run.var(name, &through));
    let outcome = run.done();
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(seen.load(Ordering::SeqCst), 0, "{outcome}");
}
