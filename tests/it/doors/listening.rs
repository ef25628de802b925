//! Tests of a satellite that listens on several addresses.

use super::sky::{Sky, carries};
use crate::common::Environment;

#[test]
fn each_port_is_as_good_as_the_first() {
    let sky = Sky::new(&["--listen", "0", "--listen", "[::1]:0"]);
    let ports = sky.ports("tcp://");
    assert_eq!((ports.len(), ports[0]), (3, sky.port()));
    for address in [
        format!("localhost:{}", ports[1]),
        format!("[::1]:{}", ports[2]),
    ] {
        carries(&sky.machine(&address), |run| run);
    }
    let writer = sky.machine(&format!("127.0.0.1:{}", ports[0]));
    let reader = sky.machine(&format!("[::1]:{}", ports[2]));
    writer.skypipe(&["-w", "across"]).fed("hello").success();
    reader.skypipe(&["-r", "across"]).done().printed("hello");
}

#[test]
fn an_address_that_is_taken_ends_it_with_its_name() {
    let sky = Sky::new(&[]);
    let taken = format!("127.0.0.1:{}", sky.port());
    let host = Environment::here();
    let second = host.skypipe(&["--satellite", "0", "--listen", &taken]);
    second.done().told(
        1,
        &format!("cannot listen on tcp://{taken}: Address already in use"),
    );
    let websockets = host.skypipe(&["--satellite", "0", "--listen", "ws://0"]);
    websockets.done().told(2, "only works with keys");
}

#[test]
fn invitations_name_the_address_that_others_can_reach() {
    let host = Environment::here();
    let public = "skypipe+wss://sky.example.org/pipes";
    let flags = ["--data", "data", "--private", "--public", public];
    let satellite = host.satellite(&flags);
    satellite.process().shows("\n");
    let shown = String::from_utf8(satellite.process().shown()).expect("it is text");
    assert!(
        shown.starts_with("skypipe+wss://sky.example.org:443/pipes/"),
        "{shown}"
    );
    let key = String::from_utf8(host.get("data/keys/host")).expect("it is text");
    let mut machine = Environment::here();
    machine.leads_to(&key);
    let invited = machine.skypipe(&["--invite"]).done();
    let line = invited.told(0, "into skypipe --join");
    let line = String::from_utf8(line).expect("it is text");
    assert!(line.starts_with("skypipe+wss://sky.example.org:443/pipes/"));
}
