//! Tests of the stand-in's machines, which really run.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::parts;
use crate::fly::stage::{Stage, until};

/// A stage with an app `mine`, an IPv6 address, and the program in the registry. Returns the
/// image's name.
fn with_image() -> (Stage, String) {
    let stage = Stage::new(|options| options.wait_second = Duration::from_millis(500));
    stage.expect(
        201,
        "POST",
        "/v1/apps",
        Some(&json!({ "name": "mine", "org_slug": "personal" })),
    );
    let image = stage.push("mine");
    (stage, image)
}

fn satellite(image: &str, volume: &str) -> Value {
    json!({
        "image": image,
        "env": { "GREETING": "hello there" },
        "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 },
        "restart": { "policy": "always" },
        "metadata": { "role": "satellite" },
        "init": { "exec": [
            "/skypipe", "--satellite", "0.0.0.0:9000", "--data", "/data", "--public", "[fd00:5::1]:9000",
        ] },
        "mounts": [{ "volume": volume, "path": "/data" }],
        "checks": { "tcp": { "type": "tcp", "port": 9000, "interval": "15s", "timeout": "2s" } },
        "services": [{
            "protocol": "tcp", "internal_port": 9000, "autostop": "off", "autostart": true,
            "min_machines_running": 1, "ports": [{ "port": 9000, "handlers": [] }],
        }],
    })
}

/// A configuration whose program gets this argument and exits at once (exit code 2 is a usage
/// failure).
fn brief(image: &str, word: &str, restart: &Value) -> Value {
    json!({ "config": { "image": image, "init": { "cmd": [word] }, "restart": restart } })
}

/// The first byte of a private satellite's answer to a client that does not speak TLS: an alert
/// (RFC 8446, section 6).
const ALERT: u8 = 0x15;

/// The first byte that a public address answers; `None` if it does not answer.
fn answer(at: &str) -> Option<u8> {
    let at: SocketAddr = at.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(5)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a time-out is set");
    stream.write_all(&[0; 16]).ok()?;
    let mut first = [0];
    stream.read_exact(&mut first).ok().map(|()| first[0])
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} in {value}"))
}

#[test]
fn a_satellite_lives_and_ends() {
    if !parts::are_there() {
        return;
    }
    let (stage, image) = with_image();
    let app = "/v1/apps/mine";
    let six = stage.expect(
        200,
        "POST",
        &format!("{app}/ip_assignments"),
        Some(&json!({ "type": "v6" })),
    );
    let volume = json!({ "name": "data", "region": "ams", "size_gb": 1 });
    let volume = stage.expect(200, "POST", &format!("{app}/volumes"), Some(&volume));
    let config = satellite(&image, text(&volume, "id"));
    let wanted = json!({ "name": "satellite", "region": "ams", "config": config });
    let machine = stage.expect(200, "POST", &format!("{app}/machines"), Some(&wanted));
    assert_eq!(
        (text(&machine, "state"), text(&machine, "region")),
        ("created", "ams")
    );
    assert_eq!(machine["config"], config);
    assert!(text(&machine["image_ref"], "digest").starts_with("sha256:"));
    let at = format!("{app}/machines/{}", text(&machine, "id"));
    let started = format!(
        "{at}/wait?state=started&timeout=60&instance_id={}",
        text(&machine, "instance_id")
    );
    assert_eq!(
        stage.expect(200, "GET", &started, None),
        json!({ "ok": true })
    );
    let public = format!("[{}]:9000", text(&six, "ip"));
    until("an answer", || answer(&public) == Some(ALERT));
    beside(&stage, &at);
    let data = stage
        .standin
        .volume(text(&volume, "id"))
        .expect("its directory");
    std::fs::write(data.join("kept"), b"kept").expect("a mark is set");
    leased(&stage, &at, &config);
    replaced(&stage, &at, &machine, &config, &public);
    assert!(data.join("kept").exists(), "the volume is kept");
    stopped_and_started(&stage, &at, &public);
    ended(&stage, &at, text(&volume, "id"), text(&six, "ip"));
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

/// Commands run next to the program, with its files and its environment.
fn beside(stage: &Stage, at: &str) {
    let exec = format!("{at}/exec");
    let said = stage.expect(
        200,
        "POST",
        &exec,
        Some(&json!({ "cmd": "/skypipe --version", "timeout": 20 })),
    );
    assert!(text(&said, "stdout").starts_with("skypipe "), "{said}");
    assert_eq!(said.get("exit_code"), None, "zero is left out");
    let wrong = stage.expect(
        200,
        "POST",
        &exec,
        Some(&json!({ "command": ["/skypipe", "--no such flag"] })),
    );
    assert_eq!(wrong["exit_code"], 2, "{wrong}");
    assert!(text(&wrong, "stderr").contains("no such flag"));
    let listed = stage.expect(
        200,
        "GET",
        "/v1/apps/mine/machines?metadata.role=satellite",
        None,
    );
    assert_eq!(
        (listed.as_array().map(Vec::len), text(&listed[0], "state")),
        (Some(1), "started")
    );
    assert_eq!(listed[0]["events"][0]["type"], "start");
    let none = stage.expect(
        200,
        "GET",
        "/v1/apps/mine/machines?metadata.role=other",
        None,
    );
    assert_eq!(none, json!([]));
}

/// Only the holder of a lease may change the machine.
fn leased(stage: &Stage, at: &str, config: &Value) {
    let lease = stage.expect(
        201,
        "POST",
        &format!("{at}/lease"),
        Some(&json!({ "ttl": 1 })),
    );
    assert!(lease["data"]["nonce"].is_string());
    let again = stage.expect(409, "POST", &format!("{at}/lease"), None);
    assert!(text(&again, "message").contains("lease currently held"));
    stage.expect(409, "POST", at, Some(&json!({ "config": config })));
    stage.expect(409, "DELETE", &format!("{at}?force=true"), None);
    stage.expect(200, "GET", &format!("{at}/lease"), None);
    until("its end", || {
        stage.ask("GET", &format!("{at}/lease"), None).status == 404
    });
}

/// Another version replaces the first one.
fn replaced(stage: &Stage, at: &str, machine: &Value, config: &Value, public: &str) {
    let old = json!({ "config": config, "current_version": "01OLD" });
    stage.expect(409, "POST", at, Some(&old));
    let mut other = config.clone();
    other["metadata"]["version"] = "2".into();
    let new = json!({ "config": other, "current_version": machine["instance_id"] });
    let new = stage.expect(200, "POST", at, Some(&new));
    assert_eq!(text(&new, "state"), "replacing");
    stage.expect(412, "POST", &format!("{at}/start"), None);
    let wait = |version: &Value| format!("{at}/wait?instance_id={}", text(version, "instance_id"));
    stage.expect(400, "GET", &wait(machine), None);
    stage.expect(200, "GET", &wait(&new), None);
    until("an answer", || answer(public) == Some(ALERT));
    assert_eq!(
        stage.expect(200, "GET", at, None)["config"]["metadata"]["version"],
        "2"
    );
}

/// A stopped machine cannot be reached. A restarted one can be reached again.
fn stopped_and_started(stage: &Stage, at: &str, public: &str) {
    let version = stage.expect(200, "GET", at, None);
    stage.expect(
        200,
        "POST",
        &format!("{at}/stop"),
        Some(&json!({ "signal": "SIGTERM", "timeout": "5s" })),
    );
    let stopped = format!(
        "{at}/wait?state=stopped&instance_id={}",
        text(&version, "instance_id")
    );
    stage.expect(200, "GET", &stopped, None);
    assert_eq!(
        answer(public),
        None,
        "a machine that is stopped is not reached"
    );
    let machine = stage.expect(200, "GET", at, None);
    assert_eq!(
        machine["events"][0]["request"]["exit_event"]["requested_stop"],
        true
    );
    stage.expect(
        408,
        "GET",
        &format!("{at}/wait?state=started&timeout=1"),
        None,
    );
    assert_eq!(
        stage.expect(200, "POST", &format!("{at}/start"), None)["previous_state"],
        "stopped"
    );
    stage.expect(200, "GET", &format!("{at}/wait"), None);
    until("an answer", || answer(public) == Some(ALERT));
}

/// Everything is destroyed, and nothing is left.
fn ended(stage: &Stage, at: &str, volume: &str, ip: &str) {
    let held = format!("/v1/apps/mine/volumes/{volume}");
    stage.expect(412, "DELETE", at, None);
    stage.expect(409, "DELETE", &held, None);
    stage.expect(412, "DELETE", "/v1/apps/mine", None);
    stage.expect(200, "DELETE", &format!("{at}?force=true"), None);
    stage.expect(200, "GET", &format!("{at}/wait?state=destroyed"), None);
    stage.expect(200, "DELETE", &held, None);
    stage.expect(
        204,
        "DELETE",
        &format!("/v1/apps/mine/ip_assignments/{ip}"),
        None,
    );
    assert_eq!(
        stage.expect(200, "GET", "/v1/apps/mine/machines", None),
        json!([])
    );
    stage.expect(202, "DELETE", "/v1/apps/mine", None);
    until("its end", || {
        stage.ask("GET", "/v1/apps/mine", None).status == 404
    });
    assert_eq!(
        stage.standin.leftovers(),
        crate::fly::standin::Leftovers::default()
    );
}

#[test]
fn programs_that_end_are_started_again_or_not() {
    if !parts::are_there() {
        return;
    }
    let (stage, image) = with_image();
    let machines = "/v1/apps/mine/machines";
    let make =
        |wanted: &Value| text(&stage.expect(200, "POST", machines, Some(wanted)), "id").to_owned();
    let wait = |id: &str, state: &str| {
        let of = |machine: &crate::fly::standin::Seen| machine.id == id && machine.state == state;
        until(state, || stage.standin.machines().iter().any(of));
    };
    let no = make(&brief(&image, "--no such flag", &json!({ "policy": "no" })));
    wait(&no, "stopped");
    let machine = stage.expect(200, "GET", &format!("{machines}/{no}"), None);
    let event = &machine["events"][0];
    assert_eq!(
        (text(event, "type"), text(event, "status")),
        ("exit", "stopped")
    );
    assert_eq!(event["request"]["exit_event"]["exit_code"], 2);
    let good = make(&brief(
        &image,
        "--version",
        &json!({ "policy": "on-failure" }),
    ));
    wait(&good, "stopped");
    let twice = make(&brief(
        &image,
        "--no such flag",
        &json!({ "policy": "on-failure", "max_retries": 1 }),
    ));
    wait(&twice, "stopped");
    let restarts = |id: &str| {
        let machines = stage.standin.machines();
        machines
            .iter()
            .find(|machine| machine.id == id)
            .map_or(0, |machine| machine.restarts)
    };
    assert_eq!(
        (restarts(&no), restarts(&good), restarts(&twice)),
        (1, 1, 2),
        "how often they ended"
    );
    let always = make(&brief(&image, "--version", &json!({ "policy": "always" })));
    until("its end and its start", || restarts(&always) > 2);
    let missing = json!({ "config": { "image": image, "init": { "exec": ["/nothing"] } } });
    let missing = make(&missing);
    wait(&missing, "failed");
    assert_eq!(
        stage.expect(202, "DELETE", "/v1/apps/mine?force=true", None),
        Value::Null
    );
    until("its end", || {
        stage.standin.leftovers() == crate::fly::standin::Leftovers::default()
    });
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn machines_are_refused_for_want_of_room_or_sense() {
    if !parts::are_there() {
        return;
    }
    let (stage, image) = with_image();
    let machines = "/v1/apps/mine/machines";
    let volume = json!({ "name": "data", "region": "ams", "size_gb": 1 });
    let volume = stage.expect(200, "POST", "/v1/apps/mine/volumes", Some(&volume));
    let config = satellite(&image, text(&volume, "id"));
    stage.standin.full_for_machines("ams", true);
    let full = stage.expect(412, "POST", machines, Some(&json!({ "config": config })));
    assert_eq!(text(&full, "status"), "insufficient_capacity");
    stage.expect(
        409,
        "POST",
        machines,
        Some(&json!({ "region": "ams", "config": { "image": image } })),
    );
    stage.standin.full_for_machines("ams", false);
    let elsewhere = json!({ "region": "fra", "config": config });
    stage.expect(400, "POST", machines, Some(&elsewhere));
    let none = json!({ "config": { "image": format!("{}-none", image) } });
    let what = stage.expect(400, "POST", machines, Some(&none));
    assert!(
        text(&what, "error").starts_with("failed to get manifest"),
        "{what}"
    );
    assert!(!what.to_string().contains(crate::fly::stage::TOKEN));
    stage.expect(
        200,
        "POST",
        machines,
        Some(&json!({ "name": "one", "config": config })),
    );
    stage.expect(412, "POST", machines, Some(&json!({ "config": config })));
    let same = json!({ "name": "one", "config": { "image": image } });
    let same = stage.expect(409, "POST", machines, Some(&same));
    assert!(text(&same, "error").starts_with("already_exists"));
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn whatever_still_runs_ends_with_the_stand_in() {
    if !parts::are_there() {
        return;
    }
    let (stage, image) = with_image();
    let six = stage.expect(
        200,
        "POST",
        "/v1/apps/mine/ip_assignments",
        Some(&json!({ "type": "v4" })),
    );
    let volume = json!({ "name": "data", "region": "fra", "size_gb": 1 });
    let volume = stage.expect(200, "POST", "/v1/apps/mine/volumes", Some(&volume));
    let config = satellite(&image, text(&volume, "id"));
    let machine = stage.expect(
        200,
        "POST",
        "/v1/apps/mine/machines",
        Some(&json!({ "config": config })),
    );
    let at = format!("/v1/apps/mine/machines/{}", text(&machine, "id"));
    stage.expect(200, "GET", &format!("{at}/wait"), None);
    let public = format!("{}:9000", text(&six, "ip"));
    until("an answer", || answer(&public) == Some(ALERT));
    stage.standin.crash("mine", text(&machine, "id"));
    until("its start", || stage.standin.machines()[0].restarts == 1);
    until("an answer", || answer(&public) == Some(ALERT));
    let mut open = TcpStream::connect(&public).expect("it is there");
    let data = stage
        .standin
        .volume(text(&volume, "id"))
        .expect("its directory");
    assert_eq!(stage.standin.leftovers().containers.len(), 1);
    let begun = Instant::now();
    drop(stage);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "it does not take long to end"
    );
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest);
    assert!(!data.exists(), "its files are gone");
    assert_eq!(
        crate::fly::standin::addresses::present(),
        Vec::<String>::new()
    );
}
