//! No reachable satellite is open by mistake, and its key files are for its user alone.

use std::fs;

use crate::common::Environment;
use crate::common::satellite::Satellite;
use crate::keys::arena::{PRIVATE, Sky, holding, invitation_of, invite, keys, mode};

/// A satellite that listens on all addresses, and its endpoint on its own machine.
fn everywhere(host: &Environment, flags: &[&str]) -> (Satellite, String) {
    let satellite = host.satellite_at("0.0.0.0:0", flags);
    let endpoint = satellite.endpoint().replace("0.0.0.0", "127.0.0.1");
    (satellite, endpoint)
}

#[test]
fn who_listens_for_others_needs_keys_or_says_that_it_does_not() {
    let host = Environment::here();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let outcome = host.skypipe(&["--satellite", address]).done();
        assert_eq!(outcome.stdout, b"");
        outcome.told(2, "so the satellite needs keys: add --data DIR");
    }
    let (_open, endpoint) = everywhere(&host, &["--insecure"]);
    let mut anybody = Environment::here();
    anybody.leads_to(&endpoint);
    anybody.skypipe(&["x"]).fed("open\n").printed("");
    anybody.skypipe(&["x"]).done().printed("open\n");
}

#[test]
fn who_listens_for_others_with_a_directory_has_keys() {
    let host = Environment::here();
    let (satellite, endpoint) = everywhere(&host, &["--data", "data"]);
    let first = invitation_of(&satellite);
    let mut stranger = Environment::here();
    stranger.leads_to(&endpoint);
    stranger
        .skypipe(&["--list"])
        .done()
        .told(4, "is private: ask someone who uses it for an invitation");
    // The invitation contains the machine's name, which this machine may be unable to look up.
    let (_, secret) = first.rsplit_once('/').expect("it has a secret part");
    let address = endpoint.trim_start_matches("tcp://");
    let laptop = holding(&format!("skypipe://{address}/{secret}"));
    laptop.skypipe(&["x"]).fed("in\n").printed("");
    laptop.skypipe(&["x"]).done().printed("in\n");
}

#[test]
fn invitations_name_the_satellite_as_it_was_told() {
    let sky = Sky::at(
        "127.0.0.1:0",
        &[&PRIVATE[..], &["--public", "sky.example.org:9000"]].concat(),
    );
    assert!(sky.first().starts_with("skypipe://sky.example.org:9000/"));
    let (_, secret) = sky.first().rsplit_once('/').expect("it has a secret part");
    let address = sky.endpoint().trim_start_matches("tcp://");
    let here = holding(&format!("skypipe://{address}/{secret}"));
    let other = invite(&here, &["phone"]);
    assert!(other.starts_with("skypipe://sky.example.org:9000/"));
}

#[test]
fn what_has_keys_is_not_opened_without_them() {
    let sky = Sky::new();
    let laptop = sky.manager();
    laptop.skypipe(&["x"]).fed("secret\n").printed("");
    let host = sky.host();
    let insecure = ["--satellite", "127.0.0.1:0", "--data", "data", "--insecure"];
    let outcome = host.skypipe(&insecure).done();
    outcome.told(2, "the data in data is sealed for clients with keys");
    let outcome = host
        .skypipe(&["--satellite", "127.0.0.1:0", "--private"])
        .done();
    assert_eq!(outcome.code, Some(2), "{outcome}");
}

#[test]
fn a_satellite_that_comes_back_has_its_keys_and_invites_nobody() {
    let mut sky = Sky::new();
    let laptop = sky.manager();
    invite(&laptop, &["web", "--write", "--pipe", "logs"]);
    laptop.skypipe(&["x"]).fed("kept\n").printed("");
    let names = |machine: &Environment| -> Vec<_> {
        let keys = keys(machine);
        keys.into_iter().map(|key| key[..4].to_vec()).collect()
    };
    let before = names(&laptop);
    let satellite = fs::read(sky.keys().join("satellite")).expect("it is there");
    for _ in 0..2 {
        sky.kill();
        sky.restart();
        assert_eq!(names(&laptop), before);
        assert_eq!(sky.satellite().process().shown(), b"");
        let said = sky.satellite().process().said();
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(fs::read(sky.keys().join("satellite")).ok(), Some(satellite));
    laptop.skypipe(&["x"]).done().printed("kept\n");
}

#[test]
fn the_access_key_leads_to_where_the_satellite_is_now() {
    let mut sky = Sky::new();
    let before = sky.access_key();
    let data = sky.host().home().join("data");
    let data = data.to_str().expect("it is text");
    sky.kill();
    // The port differs, unless the system hands out the one that was just freed.
    let here = Environment::here();
    let taken = std::net::TcpListener::bind(sky.endpoint().trim_start_matches("tcp://"));
    let again = here.satellite(&["--data", data]);
    assert_ne!(again.endpoint(), sky.endpoint());
    assert_ne!(sky.access_key(), before);
    assert_eq!(mode(&sky.keys().join("host")), 0o600);
    let host = holding(&sky.access_key());
    assert_eq!(keys(&host).len(), 2);
    drop((taken, again));
    // A deleted key stays deleted.
    fs::remove_file(sky.keys().join("host")).expect("it is there");
    let again = here.satellite(&["--data", data]);
    assert!(!sky.keys().join("host").exists());
    drop(again);
}

#[test]
fn check_speaks_of_a_private_satellite_as_of_any() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let check = laptop.skypipe(&["--check"]).done().success();
    let check = String::from_utf8(check).expect("it is text");
    assert!(check.contains(sky.endpoint()), "{check}");
    assert!(!check.contains("skypipe://"), "{check}");
    let mut stranger = Environment::here();
    stranger.leads_to(sky.endpoint());
    let outcome = stranger.skypipe(&["--check"]).done();
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("is private"), "{outcome}");
}

#[test]
fn a_directory_of_keys_makes_a_satellite_private_without_saying_so() {
    let mut sky = Sky::new();
    let laptop = sky.manager();
    sky.kill();
    let host = Environment::here();
    let data = sky.keys();
    let data = data.parent().expect("it lies in the data directory");
    let data = data.to_str().expect("it is text");
    let again = host.satellite(&["--data", data]);
    let mut stranger = Environment::here();
    stranger.leads_to(again.endpoint());
    stranger.skypipe(&["--list"]).done().told(4, "is private");
    drop(laptop);
}

#[test]
fn keys_lie_in_files_for_their_user_alone() {
    let sky = Sky::new();
    let laptop = sky.manager();
    // The file of authorized keys is rewritten at each change.
    invite(&laptop, &["web"]);
    assert_eq!(mode(&sky.keys()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(sky.keys()).expect("it is a directory") {
        let entry = entry.expect("it is there");
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().expect("it is text"));
    }
    names.sort();
    assert_eq!(names, ["authorized", "host", "satellite"]);
}

#[test]
fn the_first_invitation_is_kept_nowhere() {
    let sky = Sky::new();
    let token = skypipe_protocol::token::Token::parse(sky.first()).expect("it is one");
    let secret = token.seed.secret().as_bytes();
    let mut directories = vec![sky.host().home().to_owned()];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("it is a directory") {
            let path = entry.expect("it is there").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).expect("it is ours");
            let is_in = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!is_in(secret), "{}", path.display());
            let (_, text) = sky.first().rsplit_once('/').expect("it has a secret part");
            assert!(!is_in(&text.as_bytes()[60..100]), "{}", path.display());
        }
    }
    assert!(files >= 3, "{files}");
    let said = sky.satellite().process().said();
    assert!(!said.contains("skypipe://"), "{said}");
}
