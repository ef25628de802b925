//! A small Fly.io on loopback: everything that the provider requests, and ways to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

/// A request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authorization: String,
    pub body: Value,
}

/// What to do with a request.
pub enum Verdict {
    /// Serve it.
    Serve,
    /// Give this answer instead.
    Answer(u16, Value),
    /// Serve it and lose the answer: a 502 is sent instead.
    Lose,
}

type Judge = Box<dyn FnMut(usize, &Seen, &mut State) -> Verdict + Send>;

#[derive(Default)]
pub struct App {
    pub org: String,
    pub volumes: Vec<Value>,
    pub ips: Vec<Value>,
    pub machines: Vec<Value>,
    pub deleted: Vec<Value>,
}

pub struct State {
    pub apps: BTreeMap<String, App>,
    pub foreign: Vec<String>,
    pub orgs: Vec<&'static str>,
    pub seen: Vec<Seen>,
    /// Images whose program exits at once.
    pub broken: Vec<String>,
    /// How often a request waits for a machine in vain before it runs.
    pub slow: u32,
    pub v6: &'static str,
    pub exec: Value,
    /// How many more queries still find a destroyed app.
    pub lasting: u32,
    going: BTreeMap<String, u32>,
    count: u32,
    judge: Judge,
    clock: Arc<AtomicU64>,
}

pub struct Platform {
    pub url: String,
    pub clock: Arc<AtomicU64>,
    state: Arc<Mutex<State>>,
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl Platform {
    pub fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a port"));
        let url = format!(
            "http://{}",
            server.server_addr().to_ip().expect("an address")
        );
        let clock = Arc::new(AtomicU64::new(0));
        let state = Arc::new(Mutex::new(State {
            apps: BTreeMap::new(),
            foreign: Vec::new(),
            orgs: vec!["personal"],
            seen: Vec::new(),
            broken: Vec::new(),
            slow: 0,
            v6: "2a09:8280:1::1",
            exec: json!({ "stdout": "done\n" }),
            lasting: 0,
            going: BTreeMap::new(),
            count: 0,
            judge: Box::new(|_, _, _| Verdict::Serve),
            clock: clock.clone(),
        }));
        let (serving, shared) = (server.clone(), state.clone());
        let thread = thread::spawn(move || {
            for request in serving.incoming_requests() {
                serve(request, &shared);
            }
        });
        Self {
            url,
            clock,
            state,
            server,
            thread: Some(thread),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread has panicked")
    }

    /// From now on, counts requests from 1 and asks `judge` about each.
    pub fn judge(&self, judge: impl FnMut(usize, &Seen, &mut State) -> Verdict + Send + 'static) {
        let mut state = self.state();
        state.seen.clear();
        state.judge = Box::new(judge);
    }

    pub fn be_kind(&self) {
        self.judge(|_, _, _| Verdict::Serve);
    }

    /// How many requests there were to paths with this end.
    pub fn count(&self, method: &str, end: &str) -> usize {
        let state = self.state();
        state
            .seen
            .iter()
            .filter(|seen| seen.method == method && seen.path.ends_with(end))
            .count()
    }

    /// The body of the last such request.
    pub fn last(&self, method: &str, end: &str) -> Value {
        let state = self.state();
        let seen = state
            .seen
            .iter()
            .rfind(|seen| seen.method == method && seen.path.ends_with(end));
        seen.unwrap_or_else(|| panic!("no {method} {end}"))
            .body
            .clone()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the platform ends well");
        }
    }
}

fn serve(mut request: Request, shared: &Mutex<State>) {
    let mut text = String::new();
    request
        .as_reader()
        .read_to_string(&mut text)
        .expect("a body");
    let header = |name: &'static str| {
        let found = request
            .headers()
            .iter()
            .find(|header| header.field.equiv(name));
        found
            .map(|header| header.value.to_string())
            .unwrap_or_default()
    };
    let seen = Seen {
        method: request.method().to_string(),
        path: request.url().to_owned(),
        authorization: header("Authorization"),
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    };
    let mut state = shared.lock().expect("no thread has panicked");
    state.seen.push(seen.clone());
    let index = state.seen.len();
    let mut judge = std::mem::replace(&mut state.judge, Box::new(|_, _, _| Verdict::Serve));
    let verdict = judge(index, &seen, &mut state);
    state.judge = judge;
    let (status, body) = match verdict {
        Verdict::Serve => state.answer(request.method(), &seen),
        Verdict::Answer(status, body) => (status, body),
        Verdict::Lose => {
            state.answer(request.method(), &seen);
            (502, json!({ "error": "bad gateway" }))
        }
    };
    drop(state);
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut response = Response::from_string(text).with_status_code(status);
    response.add_header(Header::from_bytes("fly-request-id", "01TEST-ams").expect("a header"));
    if status == 429 {
        response.add_header(Header::from_bytes("retry-after", "7").expect("a header"));
    }
    // The client may have given up.
    let _ = request.respond(response);
}

impl State {
    fn id(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}{}", self.count)
    }

    fn answer(&mut self, method: &Method, seen: &Seen) -> (u16, Value) {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["graphql"]) => (200, self.organisations(&seen.body)),
            // This registry has every blob already.
            ("HEAD", ["v2", app, "blobs", _]) if self.apps.contains_key(*app) => (200, Value::Null),
            ("PUT", ["v2", app, "manifests", _]) if self.apps.contains_key(*app) => {
                (201, Value::Null)
            }
            ("GET", ["v1", "platform", "regions"]) => (200, regions()),
            ("GET", ["v1", "apps"]) => (200, self.list(query)),
            ("POST", ["v1", "apps"]) => self.create(&seen.body),
            (_, ["v1", "apps", app, rest @ ..]) if self.apps.contains_key(*app) => {
                self.in_app(method.as_str(), app, rest, query, &seen.body)
            }
            ("GET", ["v1", "apps", app]) if self.foreign.iter().any(|name| name == app) => {
                (403, json!({ "error": "unauthorized" }))
            }
            _ => (404, json!({ "error": "not found" })),
        }
    }

    fn organisations(&self, body: &Value) -> Value {
        assert!(
            body["query"]
                .as_str()
                .is_some_and(|query| query.contains("organizations"))
        );
        let nodes: Vec<Value> = self
            .orgs
            .iter()
            .map(|slug| json!({ "slug": slug, "name": slug }))
            .collect();
        json!({ "data": { "organizations": { "nodes": nodes } } })
    }

    fn list(&self, query: &str) -> Value {
        let org = query.strip_prefix("org_slug=").expect("an organisation");
        let ours = self.apps.iter().filter(|(_, app)| app.org == org);
        let apps: Vec<Value> = ours
            .map(|(name, _)| json!({ "id": "x", "name": name, "machine_count": 0 }))
            .collect();
        json!({ "total_apps": apps.len(), "apps": apps })
    }

    fn create(&mut self, body: &Value) -> (u16, Value) {
        let name = body["name"].as_str().expect("a name").to_owned();
        let org = body["org_slug"]
            .as_str()
            .expect("an organisation")
            .to_owned();
        if self.apps.contains_key(&name) || self.foreign.contains(&name) {
            let error = "Validation failed: Name has already been taken";
            return (422, json!({ "error": error, "status": "name_taken" }));
        }
        self.apps.insert(
            name,
            App {
                org,
                ..App::default()
            },
        );
        (201, json!({ "id": "z4k69dxd8r31p5mx", "created_at": 1 }))
    }

    fn in_app(
        &mut self,
        method: &str,
        name: &str,
        rest: &[&str],
        query: &str,
        body: &Value,
    ) -> (u16, Value) {
        let app = self.apps.get_mut(name).expect("it is there");
        match (method, rest) {
            ("GET", []) => self.look(name),
            ("DELETE", []) => {
                assert_eq!(query, "force=true");
                self.going.insert(name.to_owned(), self.lasting);
                (202, Value::Null)
            }
            ("GET", ["volumes"]) => (200, json!(app.volumes)),
            ("GET", ["ip_assignments"]) => (200, json!({ "ips": app.ips })),
            ("GET", ["machines"]) if query == "include_deleted=true" => (
                200,
                json!([app.machines.clone(), app.deleted.clone()].concat()),
            ),
            ("GET", ["machines"]) => (200, json!(app.machines)),
            ("POST", ["volumes"]) => self.make_volume(name, body),
            ("POST", ["ip_assignments"]) => self.make_address(name, body),
            ("POST", ["machines"]) => self.make_machine(name, body),
            (_, ["machines", id, rest @ ..]) => {
                self.in_machine(method, name, id, rest, query, body)
            }
            _ => (404, json!({ "error": "no such path" })),
        }
    }

    fn look(&mut self, name: &str) -> (u16, Value) {
        match self.going.get_mut(name) {
            Some(0) => {
                self.apps.remove(name);
                (404, json!({ "error": "app not found" }))
            }
            Some(left) => {
                *left -= 1;
                (200, json!({ "name": name }))
            }
            None => (200, json!({ "name": name, "status": "pending" })),
        }
    }

    fn make_volume(&mut self, name: &str, body: &Value) -> (u16, Value) {
        let id = self.id("vol_");
        let created = format!("2026-01-01T00:00:{:02}Z", self.count);
        let volume = json!({
            "id": id, "name": body["name"], "state": "created", "size_gb": body["size_gb"],
            "region": body["region"], "attached_machine_id": null, "created_at": created,
        });
        self.apps
            .get_mut(name)
            .expect("an app")
            .volumes
            .push(volume.clone());
        (200, volume)
    }

    fn make_address(&mut self, name: &str, body: &Value) -> (u16, Value) {
        let ip = match body["type"].as_str() {
            Some("v6") => self.v6,
            Some("v4") => "137.66.0.1",
            other => panic!("an address of type {other:?}"),
        };
        let address = json!({ "ip": ip, "region": "global", "shared": false });
        self.apps
            .get_mut(name)
            .expect("an app")
            .ips
            .push(address.clone());
        (200, address)
    }

    fn make_machine(&mut self, name: &str, body: &Value) -> (u16, Value) {
        let volume = &body["config"]["mounts"][0]["volume"];
        let volumes = &self.apps[name].volumes;
        assert!(
            volumes
                .iter()
                .any(|found| found["id"] == *volume && found["region"] == body["region"])
        );
        let (id, instance) = (self.id("m"), self.id("instance"));
        let machine = json!({
            "id": id, "name": body["name"], "state": "created", "region": body["region"],
            "instance_id": instance, "config": body["config"], "checks": null,
        });
        self.apps
            .get_mut(name)
            .expect("an app")
            .machines
            .push(machine.clone());
        (200, machine)
    }

    fn in_machine(
        &mut self,
        method: &str,
        name: &str,
        id: &str,
        rest: &[&str],
        query: &str,
        body: &Value,
    ) -> (u16, Value) {
        let instance = self.id("instance");
        let app = self.apps.get_mut(name).expect("an app");
        let Some(machine) = app.machines.iter_mut().find(|machine| machine["id"] == id) else {
            return (404, json!({ "error": "machine not found" }));
        };
        match (method, rest) {
            ("GET", []) => (200, machine.clone()),
            ("POST", []) => {
                assert_eq!(body["current_version"], machine["instance_id"]);
                machine["config"] = body["config"].clone();
                machine["instance_id"] = json!(instance);
                let state = if body["skip_launch"] == true {
                    "stopped"
                } else {
                    "replacing"
                };
                machine["state"] = json!(state);
                (200, machine.clone())
            }
            ("POST", ["start"]) => {
                machine["state"] = json!("starting");
                (200, json!({ "previous_state": "stopped" }))
            }
            ("POST", ["exec"]) if machine["state"] != "started" => {
                let error = "failed_precondition: unable to exec command, machine not running";
                (412, json!({ "error": error }))
            }
            ("POST", ["exec"]) => (200, self.exec.clone()),
            ("GET", ["wait"]) => {
                let timeout = query
                    .split('&')
                    .find_map(|part| part.strip_prefix("timeout="));
                let timeout: u64 = timeout
                    .and_then(|timeout| timeout.parse().ok())
                    .expect("a timeout");
                assert!((1..=60).contains(&timeout));
                let instance = machine["instance_id"].as_str().expect("an instance");
                assert!(query.contains("state=started"));
                if !query.ends_with(&format!("instance_id={instance}")) {
                    return (400, json!({ "error": "machine instance not found" }));
                }
                let image = machine["config"]["image"].as_str().unwrap_or_default();
                let broken = self.broken.iter().any(|broken| broken == image);
                if broken || self.slow > 0 {
                    self.slow = self.slow.saturating_sub(1);
                    self.clock.fetch_add(timeout, Ordering::SeqCst);
                    if broken {
                        machine["state"] = json!("stopped");
                        machine["events"] = json!([{ "type": "exit", "request": { "exit_event": { "exit_code": 70 } } }]);
                    }
                    return (408, json!({ "error": "deadline exceeded" }));
                }
                machine["state"] = json!("started");
                (200, json!({ "ok": true }))
            }
            _ => (404, json!({ "error": "no such path" })),
        }
    }
}

fn regions() -> Value {
    json!({ "Nearest": "fra", "Regions": [
        { "code": "ams", "name": "Amsterdam, Netherlands", "deprecated": false },
        { "code": "old", "name": "Gone", "deprecated": true },
        { "code": "fra", "name": "Frankfurt, Germany", "deprecated": false },
    ] })
}
