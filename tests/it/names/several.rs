//! Tests of names with several addresses, some of which another service answers.

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::names::machine::{Machine, port};

/// A name with two addresses. The first one is tried first.
const HOSTS: &str = "127.0.0.1 localhost\n127.0.0.1 sky.test\n127.0.0.2 sky.test\n";

/// A service of another kind at this address.
fn stranger(address: &str) {
    let listener = TcpListener::bind(address).expect("the network is the test's own");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"SSH-2.0-another\r\n");
        }
    });
}

#[test]
fn a_satellite_is_used_although_another_service_answers_at_the_first_address_of_its_name() {
    let Some(machine) = Machine::new("files") else {
        return;
    };
    machine.home.put("etc/hosts", HOSTS);
    let (satellite, endpoint) = machine.satellite("127.0.0.2:0", &[]);
    stranger(&format!("127.0.0.1:{}", port(satellite.endpoint())));
    let skypipe = |arguments: &[&str]| machine.home.skypipe(arguments).var("SATELLITE", &endpoint);
    skypipe(&["x"]).fed("text").printed("");
    skypipe(&["x"]).done().printed("text");
    let report = skypipe(&["--check"]).done().success();
    let report = String::from_utf8_lossy(&report).into_owned();
    assert!(report.contains("\nlatency "), "{report}");
}

#[test]
fn our_satellite_is_used_although_another_one_answers_at_the_first_address_of_its_name() {
    let Some(machine) = Machine::new("files") else {
        return;
    };
    machine.home.put("etc/hosts", HOSTS);
    let (ours, _) = machine.satellite("127.0.0.2:0", &["--data", "ours", "--private"]);
    let address = format!("127.0.0.1:{}", port(ours.endpoint()));
    let (_other, _) = machine.satellite(&address, &["--data", "other", "--private"]);
    ours.process().shows("\n");
    let shown = String::from_utf8(ours.process().shown()).expect("it is text");
    let invitation = shown.trim().replace("127.0.0.2", "sky.test");
    let skypipe = |arguments: &[&str]| {
        machine
            .home
            .skypipe(arguments)
            .var("SATELLITE", &invitation)
    };
    skypipe(&["x"]).fed("text").printed("");
    skypipe(&["x"]).done().printed("text");
}

#[test]
fn how_long_a_satellite_is_looked_for_can_be_said() {
    let Some(machine) = Machine::new("files") else {
        return;
    };
    let check = machine
        .home
        .skypipe(&["--connect-timeout", "300ms", "--check"]);
    let outcome = check.var("SATELLITE", "tcp://sky.test:9").done();
    assert!(outcome.took < Duration::from_secs(6), "{outcome}");
    outcome.told(
        4,
        "no satellite answers at tcp://sky.test:9 (nobody answers there)",
    );
}

#[test]
fn a_satellite_beside_a_link_local_address_is_reached_through_its_interface() {
    let Some(machine) = Machine::new("files") else {
        return;
    };
    let wire = "PATH=$PATH:/usr/sbin:/sbin
        ip link add wire type veth peer name eriw && ip link set wire up && ip link set eriw up &&
        ip address add fe80::1234/64 dev wire nodad && ip -o link show wire | cut -d: -f1";
    let number = machine.home.shell(wire).done().success();
    let number = String::from_utf8(number).expect("it is a number");
    let (satellite, _) = machine.satellite("[::]:0", &["--insecure"]);
    let port = port(satellite.endpoint());
    let check = |endpoint: &str| {
        let check = machine.home.skypipe(&["--check"]);
        check.var("SATELLITE", endpoint).done()
    };
    for zone in ["wire", number.trim()] {
        check(&format!("tcp://[fe80::1234%{zone}]:{port}")).success();
    }
    check(&format!("tcp://[fe80::1234]:{port}")).told(2, "needs its interface");
}
