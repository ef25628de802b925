//! Tests of a satellite on a machine that the real systemd has booted, with the real user manager
//! and logind.

use std::fs;
use std::net::TcpStream;

use crate::common::launch::Launch as _;
use skypipe::exit::Failure;
use skypipe::provision::{Found, Host as _, Plan, State};

use crate::common::deployed::{Platform, Sky};
use crate::ssh::console::Notes;
use crate::ssh::host::{eventually, kill};
use crate::ssh::machine::{Machine, TARGET, is_possible};
use crate::ssh::programs::{bad, plan};

const UNIT: &str = "skypipe-satellite.service";

/// The directory with everything of a satellite, and the directory with the unit that starts it.
const ROOT: &str = ".local/share/skypipe-satellite";
const UNITS: &str = ".config/systemd/user";

impl Platform for Machine {
    fn has_one(&self) {
        let [satellite] = self.satellites()[..] else {
            panic!("there is one satellite: {:?}", self.processes());
        };
        assert_eq!(self.manager(&["is-active", UNIT]), "active");
        assert_eq!(self.manager(&["is-enabled", UNIT]), "enabled");
        let listed = format!("/proc/{satellite}/cgroup");
        let group = fs::read_to_string(listed).expect("it runs");
        assert!(group.contains(&format!("/{UNIT}\n")), "{group}");
        assert!(!self.home(ROOT).join("run").exists());
    }

    fn has_none(&self) {
        assert_eq!(self.processes(), []);
        assert!(!self.home(ROOT).exists());
        assert!(!self.home(UNITS).join(UNIT).exists());
        let wanted = self.home(UNITS).join("default.target.wants").join(UNIT);
        assert!(wanted.symlink_metadata().is_err());
        assert!(!lingers(self));
        eventually("the account's manager ends", || self.is_deserted());
    }
}

fn lingers(machine: &Machine) -> bool {
    machine.inside("var/lib/systemd/linger/guest").exists()
}

/// Ends all logins of the account, and waits until logind reports this state.
fn log_out(machine: &Machine, state: &str) {
    let state = format!("State={state}");
    eventually("all sessions are over", || {
        machine.says(&["loginctl", "show-user", "--property=State", "guest"]) == state
    });
}

fn sky(machine: &Machine) -> Sky {
    Sky {
        target: TARGET.to_owned(),
        vars: vec![("SKYPIPE_SSH", machine.file("ssh/ssh").display().to_string())],
        endpoint: "tcp://127.0.0.1:9000".to_owned(),
    }
}

/// Launches the plan in place of what is there.
fn launch(machine: &Machine, plan: &Plan) -> Result<(Found, Notes), Failure> {
    let mut provider = machine.provider();
    let mut notes = Notes::default();
    let found = provider.find(&mut notes)?;
    let launched = provider.launch(plan, found.as_ref(), &mut notes)?;
    Ok((launched, notes))
}

/// Asserts that the satellite runs and has this version.
fn assert_runs(machine: &Machine, version: &str) -> Found {
    let found = machine.provider().find(&mut Notes::default());
    let found = found.expect("it can be asked").expect("it is there");
    assert_eq!(found.state, State::Running);
    assert_eq!(found.version.as_deref(), Some(version));
    machine.has_one();
    found
}

/// Kills the satellite, and waits until it is restarted.
fn comes_back(machine: &Machine) {
    let before = machine.satellites();
    kill(before[0]);
    eventually("another one runs", || {
        let now = machine.satellites();
        now.len() == 1 && now != before
    });
    eventually("it takes connections", || {
        TcpStream::connect(("127.0.0.1", 9000)).is_ok()
    });
}

#[test]
fn a_booted_machine_from_setup_to_reset() {
    if !is_possible() {
        return;
    }
    let machine = Machine::up();
    sky(&machine).whole_story(&machine);
}

#[test]
fn the_real_systemd_keeps_it() {
    if !is_possible() {
        return;
    }
    let machine = Machine::up();
    let client = sky(&machine).first();
    log_out(&machine, "lingering");
    assert!(lingers(&machine));
    machine.has_one();
    client.skypipe(&["-w", "kept"]).fed("by systemd").success();
    comes_back(&machine);
    machine.has_one();

    launch(&machine, &plan("99.1.0")).expect("it can be upgraded");
    assert_runs(&machine, "99.1.0");
    let worse = bad(&machine.file(""), "99.2.0", false);
    let failure = launch(&machine, &worse).expect_err("it fails");
    let said = &failure.sentence;
    assert!(said.contains("the stars are wrong"), "{said}");
    assert!(said.contains("was put back"), "{said}");
    let found = assert_runs(&machine, "99.1.0");
    log_out(&machine, "lingering");
    machine.has_one();
    client.skypipe(&["-r", "kept"]).done().printed("by systemd");

    let ended = machine.provider().remove(&found, &mut Notes::default());
    ended.expect("it can be ended");
    machine.has_none();
}

#[test]
fn a_home_of_which_systemd_starts_nothing_has_the_script() {
    if !is_possible() {
        return;
    }
    let machine = Machine::with_home(r#"/home/it's "me""#);
    let (found, notes) = launch(&machine, &plan("1.0.0")).expect("it can be launched");
    assert!(notes.mention("crontab"), "{:?}", notes.said);
    // The session waits for the processes that it left.
    log_out(&machine, "closing");
    let runs = || TcpStream::connect(("127.0.0.1", 9000)).is_ok();
    assert!(runs() && machine.satellites().len() == 1);
    let ended = machine.provider().remove(&found, &mut Notes::default());
    ended.expect("it can be ended");
    machine.has_none();
}

#[test]
fn lingering_needs_polkit_and_its_refusal_is_told() {
    if !is_possible() {
        return;
    }
    let machine = Machine::up();
    let polkit = "usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service";
    fs::remove_file(machine.inside(polkit)).expect("it is there");
    let (found, notes) = launch(&machine, &plan("1.0.0")).expect("it can be launched");
    assert!(notes.mention("last logout"), "{:?}", notes.said);
    assert!(!lingers(&machine));
    eventually("it stops at the last logout", || machine.is_deserted());
    // A login brings the satellite back, for as long as the login lasts.
    let mut provider = machine.provider();
    let mut notes = Notes::default();
    let there = provider.find(&mut notes).expect("it can be asked");
    assert_eq!(there, Some(found.clone()));
    eventually("it runs", || machine.satellites().len() == 1);
    provider
        .remove(&found, &mut notes)
        .expect("it can be ended");
    assert_eq!(notes.said, [""; 0]);
    drop(provider);
    machine.has_none();
}
