//! Tests of the stand-in's volumes, addresses and secrets.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

use crate::common::parts;
use crate::fly::stage::Stage;
use crate::fly::standin::proxy;

/// A stage with an app `mine`.
fn with_app() -> Stage {
    let stage = Stage::new(|_| {});
    stage.expect(
        201,
        "POST",
        "/v1/apps",
        Some(&json!({ "name": "mine", "org_slug": "personal" })),
    );
    stage
}

#[test]
fn volumes_belong_to_a_region() {
    if !parts::are_there() {
        return;
    }
    let stage = with_app();
    let path = "/v1/apps/mine/volumes";
    stage.standin.full_for_volumes("ams", true);
    let full = stage.expect(
        400,
        "POST",
        path,
        Some(&json!({ "name": "data", "region": "ams" })),
    );
    assert_eq!(full["error"], "no capacity");
    stage.expect(
        400,
        "POST",
        path,
        Some(&json!({ "name": "data", "region": "xyz" })),
    );
    let made = stage.expect(
        200,
        "POST",
        path,
        Some(&json!({ "name": "data", "region": "iad", "size_gb": 1 })),
    );
    assert_eq!(
        (made["region"].as_str(), made["state"].as_str()),
        (Some("iad"), Some("created"))
    );
    let id = made["id"].as_str().expect("an id");
    assert!(
        stage
            .standin
            .volume(id)
            .is_some_and(|directory| directory.join("lost+found").exists())
    );
    stage.expect(200, "GET", &format!("{path}/{id}"), None);
    stage.expect(404, "GET", &format!("{path}/vol_none"), None);
    stage.expect(200, "DELETE", &format!("{path}/{id}"), None);
    assert_eq!(stage.standin.volume(id), None);
    stage.expect(404, "DELETE", &format!("{path}/{id}"), None);
    assert_eq!(
        stage.expect(200, "GET", path, None)[0]["state"],
        "pending_destroy"
    );
    stage.expect(200, "GET", path, None);
    assert_eq!(
        stage.expect(200, "GET", path, None),
        json!([]),
        "it is gone in the end"
    );
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn addresses_are_really_there() {
    if !parts::are_there() {
        return;
    }
    let stage = with_app();
    let path = "/v1/apps/mine/ip_assignments";
    let assign = |status: u16, kind: &str| {
        stage.expect(status, "POST", path, Some(&json!({ "type": kind })))
    };
    let six = assign(200, "v6");
    assert_eq!(
        (six["ip"].as_str(), six["shared"].as_bool()),
        (Some("fd00:5::1"), Some(false))
    );
    assert_eq!(assign(200, "v4")["ip"], "127.8.0.2");
    assert_eq!(assign(200, "shared_v4")["shared"], true);
    assign(409, "shared_v4");
    let listed = stage.expect(200, "GET", path, None);
    assert_eq!(listed["ips"].as_array().map(Vec::len), Some(3));
    let mut there = stage.standin.leftovers().addresses;
    there.sort();
    assert_eq!(there, ["127.8.0.2/32", "fd00:5::1/128"]);
    stage.expect(204, "DELETE", &format!("{path}/fd00%3A5%3A%3A1"), None);
    stage.expect(204, "DELETE", &format!("{path}/127.8.0.2"), None);
    stage.expect(404, "DELETE", &format!("{path}/fd00:5::1"), None);
    assert_eq!(stage.standin.leftovers().addresses, Vec::<String>::new());
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn secrets_are_never_shown() {
    if !parts::are_there() {
        return;
    }
    let stage = with_app();
    let path = "/v1/apps/mine/secrets";
    let made = stage.expect(
        201,
        "POST",
        &format!("{path}/KEY"),
        Some(&json!({ "value": "hidden" })),
    );
    assert_eq!(
        (made["name"].as_str(), made["version"].as_u64()),
        (Some("KEY"), Some(1))
    );
    let several = json!({ "values": { "KEY": null, "OTHER": "hidden" } });
    stage.expect(200, "POST", path, Some(&several));
    let all: Vec<Value> = vec![
        made,
        stage.expect(200, "GET", path, None),
        stage.expect(200, "GET", &format!("{path}/OTHER"), None),
    ];
    assert!(!format!("{all:?}").contains("hidden"));
    assert_eq!(all[1]["secrets"].as_array().map(Vec::len), Some(1));
    stage.expect(403, "GET", &format!("{path}?show_secrets=true"), None);
    stage.expect(404, "GET", &format!("{path}/KEY"), None);
    stage.expect(200, "DELETE", &format!("{path}/OTHER"), None);
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn each_direction_of_a_connection_ends_by_itself() {
    if !parts::are_there() {
        return;
    }
    let outer = TcpListener::bind("127.0.0.1:0").expect("a port");
    let inner = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (near, far) = (
        outer.local_addr().expect("it"),
        inner.local_addr().expect("it"),
    );
    let passing = thread::spawn(move || {
        let (client, _) = outer.accept().expect("a client");
        proxy::join(
            client,
            TcpStream::connect(far).expect("the server is there"),
        );
    });
    let mut client = TcpStream::connect(near).expect("the proxy is there");
    let (mut server, _) = inner.accept().expect("a connection");
    client.write_all(b"question").expect("it is sent");
    client
        .shutdown(Shutdown::Write)
        .expect("this direction ends");
    let mut question = String::new();
    server
        .read_to_string(&mut question)
        .expect("it comes to its end");
    server
        .write_all(b"answer")
        .expect("the other direction is still there");
    drop(server);
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .expect("it comes to its end");
    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    passing.join().expect("both directions have ended");
}
