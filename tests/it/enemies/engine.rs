//! A container engine that answers whatever the test wants, and records what it is told to remove. Other
//! people's objects there stay untouched, and its answers are not trusted before the satellite has proved
//! its identity.

use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use skypipe_protocol::address::Address;
use skypipe_protocol::token::Token;
use tiny_http::{Header, Method, Response, Server};

use crate::common::Environment;

/// The engine's answer for a path without its query.
type Shelf = Box<dyn Fn(&str, &[String]) -> Option<Value> + Send>;

/// The fake engine.
struct Engine {
    target: String,
    /// The paths of removed objects, in order.
    removed: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    /// An engine with these objects, which may depend on what has been removed.
    fn with(shelf: Shelf) -> Self {
        let server = Server::http("127.0.0.1:0").expect("loopback is there");
        let target = format!("docker+tcp://{}", server.server_addr());
        let removed = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&removed);
        thread::spawn(move || {
            for request in server.incoming_requests() {
                let path = request
                    .url()
                    .split('?')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let mut noted = noted.lock().expect("nobody panics");
                let answer = match (request.method(), path.as_str()) {
                    (Method::Delete, _) => {
                        noted.push(path);
                        Some(json!(null))
                    }
                    (_, "/version") => Some(json!({"ApiVersion": "1.41", "Arch": "amd64"})),
                    (_, path) => shelf(path, &noted),
                };
                let status = if answer.is_some() { 200 } else { 404 };
                let text = answer.unwrap_or_default().to_string();
                let kind = Header::from_bytes("Content-Type", "application/json");
                let response = Response::from_string(text).with_status_code(status);
                let _ = request.respond(response.with_header(kind.expect("it is one")));
            }
        });
        Self { target, removed }
    }

    fn removed(&self) -> Vec<String> {
        self.removed.lock().expect("nobody panics").clone()
    }
}

/// The labels of this owner's satellite.
fn labels(founder: &str) -> Value {
    json!({
        "org.skypipe.satellite": "1",
        "org.skypipe.version": "1.0.0",
        "org.skypipe.founder": founder,
        "org.skypipe.image": "skypipe-satellite:1.0.0-0123456789ab",
    })
}

fn container(name: &str, founder: &str) -> Value {
    json!({"Id": name, "Names": [format!("/{name}")], "State": "running", "Labels": labels(founder)})
}

fn volume(name: &str, founder: &str) -> Value {
    json!({"Name": name, "Labels": labels(founder)})
}

/// The objects that have not been removed.
fn left(all: Vec<Value>, name: &str, below: &str, removed: &[String]) -> Vec<Value> {
    let is_left = |thing: &Value| {
        let name = thing[name].as_str().unwrap_or_default();
        !removed.contains(&format!("{below}{name}"))
    };
    all.into_iter().filter(is_left).collect()
}

#[test]
fn reset_removes_what_it_asked_about_and_nothing_else() {
    let engine = Engine::with(Box::new(|path, removed| {
        let containers = vec![
            container("skypipe-satellite", "a"),
            // It was made from the satellite's image, so it has the image's labels.
            container("experiment", "a"),
        ];
        let volumes = vec![
            volume("skypipe-satellite-data", "a"),
            volume("skypipe-satellite-data-backup", "a"),
        ];
        let tags = [
            "skypipe-satellite:1.0.0-0123456789ab",
            "skypipe-satellite:latest",
            "registry.example.org/skypipe-satellite:1.0.0-0123456789ab",
        ];
        let images = tags.map(|tag| json!({"RepoTags": tag}));
        let images = left(images.into(), "RepoTags", "/images/", removed);
        let images = images
            .iter()
            .map(|image| json!({"RepoTags": [image["RepoTags"]]}));
        match path {
            "/containers/json" => Some(left(containers, "Id", "/containers/", removed).into()),
            "/volumes" => Some(json!({"Volumes": left(volumes, "Name", "/volumes/", removed)})),
            "/images/json" => Some(images.collect()),
            _ => None,
        }
    }));
    let here = Environment::here();
    let outcome = here.skypipe(&["--reset", &engine.target]).done();
    outcome.told_at_last(
        2,
        "this ends the satellite skypipe-satellite at docker+tcp://",
    );
    assert_eq!(engine.removed(), Vec::<String>::new());
    let outcome = here.skypipe(&["--reset", &engine.target, "--yes"]).done();
    outcome.told_at_last(0, "the satellite is gone");
    let mut removed = engine.removed();
    removed.dedup();
    assert_eq!(
        removed,
        [
            "/containers/skypipe-satellite",
            "/images/skypipe-satellite:1.0.0-0123456789ab",
            "/volumes/skypipe-satellite-data",
        ]
    );
}

#[test]
fn reset_does_not_end_a_satellite_that_has_taken_the_place_of_the_one_it_asked_about() {
    let asked = Mutex::new(0);
    let engine = Engine::with(Box::new(move |path, _| {
        let mut asked = asked.lock().expect("nobody panics");
        *asked += usize::from(path == "/containers/json");
        let founder = if *asked > 1 { "b" } else { "a" };
        match path {
            "/containers/json" => Some(json!([container("skypipe-satellite", founder)])),
            "/volumes" => Some(json!({"Volumes": [volume("skypipe-satellite-data", founder)]})),
            _ => Some(json!([])),
        }
    }));
    let here = Environment::here();
    let outcome = here.skypipe(&["--reset", &engine.target, "--yes"]).done();
    outcome.told_at_last(
        1,
        "another satellite has taken the place of skypipe-satellite",
    );
    assert_eq!(engine.removed(), Vec::<String>::new());
}

/// A machine that has joined a satellite, and remembers an engine for it. The engine reports this port. The
/// satellite does not answer at the address that the machine knows.
fn moved_to(port: u16, invitation: &str) -> Environment {
    let engine = Engine::with(Box::new(move |path, _| {
        let binding = json!({"9000/tcp": [{"HostPort": port.to_string()}]});
        let running = json!({"Status": "running", "Running": true});
        (path == "/containers/skypipe-satellite/json").then(|| {
            json!({
                "Image": "i", "State": running, "Config": {}, "HostConfig": {"PortBindings": binding},
            })
        })
    }));
    let machine = Environment::here();
    let mut token = Token::parse(invitation).expect("it is one");
    // Nobody listens there: the port was bound and released.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let nobody = nobody.local_addr().expect("it is bound");
    token.address = Address::from(nobody);
    let config = machine.home().join(".config/skypipe");
    fs::create_dir_all(&config).expect("there is room");
    let deployed = json!({"target": engine.target, "name": "skypipe-satellite", "founder": null});
    for (name, text) in [
        ("satellite", token.encode().to_string()),
        ("deployed", deployed.to_string()),
    ] {
        let path = config.join(name);
        fs::write(&path, text).expect("there is room");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, private).expect("it is ours");
    }
    machine
}

/// The address at which the machine looks for its satellite first.
fn remembered(machine: &Environment) -> String {
    let file = machine.home().join(".config/skypipe/satellite");
    let text = fs::read_to_string(file).expect("it is there");
    Token::parse(&text).expect("it is one").address.to_string()
}

#[test]
fn a_new_address_is_remembered_when_the_satellite_there_has_proved_its_key() {
    let host = Environment::here();
    let satellite = host.satellite(&["--data", "data", "--private"]);
    satellite.process().shows("\n");
    let invitation = String::from_utf8(satellite.process().shown()).expect("it is text");
    let at = satellite.endpoint().trim_start_matches("tcp://");
    let port = at.rsplit(':').next().and_then(|port| port.parse().ok());
    let machine = moved_to(port.expect("it has one"), invitation.trim());
    assert_ne!(remembered(&machine), at);
    machine.skypipe(&["--list"]).done().success();
    assert_eq!(remembered(&machine), at);
}

#[test]
fn an_address_at_which_somebody_else_answers_is_not_remembered() {
    let [ours, other] = [Environment::here(), Environment::here()];
    let flags = ["--data", "data", "--private"];
    let satellite = ours.satellite(&flags);
    satellite.process().shows("\n");
    let invitation = String::from_utf8(satellite.process().shown()).expect("it is text");
    drop(satellite.kill());
    // Another satellite with keys, which its own platform may well know.
    let other = other.satellite(&flags);
    let port = other.endpoint().rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok());
    let machine = moved_to(port.expect("it has one"), invitation.trim());
    let before = remembered(&machine);
    let outcome = machine.skypipe(&["--list"]).done();
    outcome.told(4, "is not the one in your invitation");
    assert_eq!(remembered(&machine), before);
}
