//! Tests of the ways to write a satellite's address.

use std::fs;

use crate::common::Environment;

/// The white space around a line that was copied, or read from a file.
const AROUND: [(&str, &str); 4] = [("", "\n"), (" ", "\t"), ("\n ", "\r\n"), ("\u{a0}", "")];

#[test]
fn white_space_around_the_name_of_a_satellite_does_not_matter() {
    let sky = Environment::sky(&[]);
    let host = Environment::here();
    let private = host.satellite(&["--data", "data", "--private"]);
    private.process().shows("\n");
    let invitation = String::from_utf8(private.process().shown()).expect("it is text");
    for (before, after) in AROUND {
        for satellite in [sky.on_port().endpoint(), invitation.trim()] {
            let spelled = format!("{before}{satellite}{after}");
            let check = sky.skypipe(&["--check"]).var("SATELLITE", spelled);
            check.done().success();
        }
    }
    let none = sky.skypipe(&["--check"]).var("SATELLITE", " \n").done();
    none.told(4, "no satellite is running on this machine");
}

#[test]
fn white_space_around_what_is_remembered_does_not_matter() {
    let host = Environment::here();
    let private = host.satellite(&["--data", "data", "--private"]);
    private.process().shows("\n");
    let machine = Environment::here();
    let join = machine.skypipe(&["--join"]).fed(private.process().shown());
    join.told(0, "this machine now uses the satellite at");
    let path = machine.home().join(".config/skypipe/satellite");
    let kept = fs::read_to_string(&path).expect("it is remembered");
    for (before, after) in AROUND {
        fs::write(&path, format!("{before}{}{after}", kept.trim())).expect("there is room");
        machine.skypipe(&["--check"]).done().success();
    }
}
