//! A host whose account has its own systemd. Fakes that keep the same state check the requests to
//! it. The real systemd checks that it understands the unit.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use skypipe::provision::ssh::unit::unit;
use skypipe::provision::{Found, Host as _, Plan, State};

use crate::common::parts;
use crate::ssh::console::Notes;
use crate::ssh::host::{Host, Manner};
use crate::ssh::programs::{bad, plan};
use crate::ssh::{find, launch};

/// A host with the fakes, and the directory of their state.
fn managed() -> (Host, PathBuf) {
    let host = Host::with(&Manner {
        // Only those special characters with which systemd can start a program.
        home: "a h%me",
        ..Manner::default()
    });
    let fake = host.file("fake");
    fs::create_dir(&fake).expect("there is room");
    let shown = fake.to_str().expect("it is text");
    let install = |name, text: &str| host.install(name, &text.replace("FAKE", shown));
    install("systemctl", include_str!("fake_systemctl.sh"));
    install("loginctl", include_str!("fake_loginctl.sh"));
    install("journalctl", "#!/bin/sh\nexec cat FAKE/journal\n");
    (host, fake)
}

fn assert_managed(host: &Host, version: &str) -> Found {
    let found = find(host).expect("it is there");
    assert_eq!(found.state, State::Running);
    assert_eq!(found.version.as_deref(), Some(version));
    assert_eq!(host.satellites().len(), 1, "{:?}", host.processes());
    assert!(host.supervisors().is_empty());
    TcpStream::connect(("127.0.0.1", 9000)).expect("it takes connections");
    found
}

fn unit_file(host: &Host) -> PathBuf {
    host.home()
        .join(".config/systemd/user/skypipe-satellite.service")
}

#[test]
fn a_unit_keeps_it_where_there_is_a_manager() {
    if !parts::are_there() {
        return;
    }
    let (host, fake) = managed();
    let (_, notes) = launch(&host, &plan("1.0.0")).expect("it can be launched");
    assert!(notes.said.is_empty(), "{:?}", notes.said);
    assert_managed(&host, "1.0.0");
    assert!(fake.join("linger").exists());
    assert!(!host.root().join("run").exists());
    let before = host.satellites();
    launch(&host, &plan("1.0.0")).expect("it is there");
    assert_eq!(host.satellites(), before);
    launch(&host, &plan("1.1.0")).expect("it can be upgraded");
    let found = assert_managed(&host, "1.1.0");
    let mut provider = host.provider();
    provider
        .remove(&found, &mut Notes::default())
        .expect("it can be ended");
    assert!(!unit_file(&host).exists() && !host.root().exists());
    assert!(!fake.join("linger").exists());
    assert_eq!(host.processes(), []);
    let calls = fs::read_to_string(fake.join("calls")).expect("it was called");
    let asked = |words: &str| calls.lines().any(|line| line.ends_with(words));
    assert!(asked("enable skypipe-satellite.service"), "{calls}");
    assert!(asked("disable --now skypipe-satellite.service"), "{calls}");
    assert!(
        calls.lines().all(|line| line.starts_with("--user ")),
        "{calls}"
    );
}

#[test]
fn a_unit_that_fails_is_replaced_by_the_one_before() {
    if !parts::are_there() {
        return;
    }
    let (host, _) = managed();
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    let failure = launch(&host, &bad(&host.file(""), "1.1.0", false)).expect_err("it fails");
    assert!(
        failure.sentence.contains("the stars are wrong"),
        "{failure}"
    );
    assert!(failure.sentence.contains("was put back"), "{failure}");
    assert_managed(&host, "1.0.0");
}

#[test]
fn lingering_is_left_as_it_was_or_its_refusal_is_told() {
    if !parts::are_there() {
        return;
    }
    let (host, fake) = managed();
    fs::write(fake.join("refuse"), "").expect("there is room");
    let (found, notes) = launch(&host, &plan("1.0.0")).expect("it can be launched");
    assert!(notes.mention("Access denied"), "{:?}", notes.said);
    assert!(notes.mention("enable-linger"), "{:?}", notes.said);
    fs::write(fake.join("linger"), "").expect("there is room");
    host.provider()
        .remove(&found, &mut Notes::default())
        .expect("it can be ended");
    assert!(fake.join("linger").exists(), "an administrator enabled it");
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    host.provider()
        .remove(&found, &mut Notes::default())
        .expect("it can be ended");
    assert!(fake.join("linger").exists(), "it was enabled before");
}

#[test]
fn a_manager_that_comes_takes_over_and_one_that_went_is_told() {
    if !parts::are_there() {
        return;
    }
    let (host, fake) = managed();
    fs::write(fake.join("gone"), "").expect("there is room");
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    assert_eq!(host.supervisors().len(), 1);
    fs::remove_file(fake.join("gone")).expect("it is there");
    launch(&host, &plan("1.0.0")).expect("systemd can keep it");
    let found = assert_managed(&host, "1.0.0");
    fs::write(fake.join("gone"), "").expect("there is room");
    let upgrade = Plan { ..plan("1.1.0") };
    let failure = launch(&host, &upgrade).expect_err("two would keep it");
    assert!(failure.sentence.contains("cannot be reached"), "{failure}");
    assert_eq!(host.satellites().len(), 1);
    host.provider()
        .remove(&found, &mut Notes::default())
        .expect("it can be ended");
    assert_eq!(host.processes(), []);
    assert!(!unit_file(&host).exists());
}

#[test]
fn systemd_understands_the_unit() {
    if !parts::are_there() {
        return;
    }
    let scratch = tempfile::tempdir().expect("there is room");
    let program = scratch.path().join("a b");
    fs::copy("/bin/true", &program).expect("there is room");
    let words = ["--owner", "100%h $HOME \"x\" \\y; 'z'"].map(str::to_owned);
    let file = scratch.path().join("skypipe-satellite.service");
    let text = unit(program.to_str().expect("it is text"), &words);
    fs::write(&file, text + "\n").expect("there is room");
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no"])
        .arg(&file)
        .env("XDG_RUNTIME_DIR", scratch.path())
        .output()
        .expect("systemd is installed");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{said}");
    assert!(!said.contains("skypipe-satellite"), "{said}");
}
