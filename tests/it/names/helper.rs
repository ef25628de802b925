//! Tests of hosts with more sources of names than this program supports. It runs `getent` there.

use crate::names::dns;
use crate::names::machine::{Machine, port};

/// The `hosts` line that Debian writes on a desktop.
const DESKTOP: &str = "files mdns4_minimal [NOTFOUND=return] dns myhostname";

#[test]
fn a_name_that_only_the_host_can_look_up_is_found() {
    let Some(machine) = Machine::new(DESKTOP) else {
        return;
    };
    let (satellite, _) = machine.satellite("127.0.0.1:0", &[]);
    let knows = "[ \"$*\" = 'ahosts -- printer.local' ] || exit 2; echo '127.0.0.1 STREAM printer'";
    let path = machine.getent(knows);
    let endpoint = format!("tcp://printer.local:{}", port(satellite.endpoint()));
    let check = machine.skypipe_with_path(&path, &["--check"]);
    check.var("SATELLITE", endpoint).done().success();
    let other = machine.skypipe_with_path(&path, &["--connect-timeout", "100ms", "--check"]);
    let other = other.var("SATELLITE", "tcp://scanner.local:9").done();
    other.told(
        4,
        "scanner.local cannot be looked up: getent found no such host",
    );
}

#[test]
fn a_name_in_the_file_or_in_dns_is_found_with_getent_and_without() {
    let Some(machine) = Machine::new(DESKTOP) else {
        return;
    };
    dns::serve();
    let (satellite, endpoint) = machine.satellite("127.0.0.1:0", &[]);
    let in_dns = format!("tcp://in-dns.test:{}", port(satellite.endpoint()));
    let crashes = machine.getent("kill -FPE $$");
    for path in ["/usr/bin:/bin", "/nowhere", &crashes] {
        for endpoint in [&endpoint, &in_dns] {
            let check = machine.skypipe_with_path(path, &["--check"]);
            check.var("SATELLITE", endpoint).done().success();
        }
    }
}

#[test]
fn a_person_is_told_what_was_not_asked_when_there_is_no_getent() {
    let Some(machine) = Machine::new(DESKTOP) else {
        return;
    };
    dns::serve();
    let check = ["--connect-timeout", "100ms", "--check"];
    let check = machine.skypipe_with_path("/nowhere", &check);
    let outcome = check.var("SATELLITE", "tcp://printer.local:9").done();
    let sentence = "only /etc/hosts and DNS were asked, not mdns4_minimal, myhostname, because getent \
                    cannot be run";
    outcome.told(4, sentence);
}

#[test]
fn a_home_that_is_not_said_is_looked_up() {
    let Some(machine) = Machine::new("files") else {
        return;
    };
    let home = machine.home.home().display().to_string();
    let check = |path: &str| {
        let check = machine.skypipe_with_path(path, &["--check"]);
        check.without("HOME").done()
    };
    let is_home = "no satellite is running on this machine";
    let is_none = "you have no home directory: set HOME";
    machine
        .home
        .put("etc/passwd", format!("root:x:0:0::{home}:/bin/sh\n"));
    check("/nowhere").told(4, is_home);
    machine
        .home
        .put("etc/passwd", "me:x:1000:1000::/:/bin/sh\n");
    check("/nowhere").told(2, is_none);
    // A user who is not in the file may be known to another source.
    let knows = format!("[ \"$*\" = 'passwd -- 0' ] && echo 'root:x:0:0::{home}:/bin/sh'");
    let path = machine.getent(&knows);
    check(&path).told(2, is_none);
    machine
        .home
        .put("etc/nsswitch.conf", "passwd: files systemd\n");
    check(&path).told(4, is_home);
    check("/nowhere").told(2, is_none);
}
