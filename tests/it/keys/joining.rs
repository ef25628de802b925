//! How a machine joins a satellite, and what its invitation is good for afterwards.

use std::fs;
use std::time::Duration;

use rustix::termios::{LocalModes, tcgetattr};

use crate::common::Environment;
use crate::common::json::{assert_is_as_documented, document};
use crate::common::terminal::Terminal;
use crate::common::wait;
use crate::keys::arena::{Sky, holding, invite, joined, joined_file, keys, mode};

#[test]
fn a_machine_joins_with_one_pasted_line() {
    let sky = Sky::new();
    let laptop = Environment::here();
    let outcome = laptop
        .skypipe(&["--join"])
        .fed(format!("{}\n", sky.first()));
    let endpoint = sky.endpoint();
    let sentence = format!("this machine now uses the satellite at {endpoint}, as first (all)");
    assert_eq!(outcome.told(0, &sentence), b"");
    laptop.skypipe(&["x"]).fed("a line\n").printed("");
    laptop.skypipe(&["x"]).done().printed("a line\n");
    let file = joined_file(&laptop);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().expect("it lies in a directory")), 0o700);
    let kept = fs::read_to_string(&file).expect("it is text");
    assert_eq!(kept.trim(), sky.first());
    let names: Vec<_> = fs::read_dir(file.parent().expect("it lies in a directory"))
        .expect("it is a directory")
        .map(|entry| entry.expect("it is there").file_name())
        .collect();
    assert_eq!(names, ["satellite"], "nothing else is left lying about");
}

#[test]
fn at_a_terminal_the_invitation_is_asked_for_and_not_shown() {
    let sky = Sky::new();
    let laptop = Environment::here();
    let terminal = Terminal::open();
    let join = laptop.skypipe(&["--join"]).on(&terminal).start();
    terminal.shows("invitation: ");
    terminal.types(&format!("{}\n", sky.first()));
    assert_eq!(join.outcome().code, Some(0));
    terminal.shows("this machine now uses the satellite");
    let (_, secret) = sky.first().rsplit_once('/').expect("it has a secret part");
    let screen = terminal.screen();
    assert!(!screen.contains(&secret[..8]), "{screen}");
    assert!(!screen.contains("skypipe://"), "{screen}");
    laptop.skypipe(&["--list"]).done().success();
}

#[test]
fn ctrl_c_at_the_question_leaves_the_terminal_as_it_was() {
    let machine = Environment::here();
    let terminal = Terminal::open();
    let shows = || {
        let modes = tcgetattr(terminal.side()).expect("it is a terminal");
        modes.local_modes
    };
    let before = shows();
    assert!(before.contains(LocalModes::ECHO));
    let join = machine.skypipe(&["--join"]).on(&terminal).start();
    terminal.shows("invitation: ");
    assert!(!shows().contains(LocalModes::ECHO));
    terminal.types("skypipe://half\u{3}");
    assert_eq!(join.outcome().code, Some(130));
    assert_eq!(shows(), before);
    assert!(!terminal.screen().contains("half"), "{}", terminal.screen());
}

#[test]
fn satellite_holds_an_invitation_as_well_as_an_endpoint() {
    let sky = Sky::new();
    let container = holding(sky.first());
    container.skypipe(&["x"]).fed("built\n").printed("");
    container.skypipe(&["--list"]).done().success();
    container.skypipe(&["x"]).done().printed("built\n");
    assert!(!joined_file(&container).exists());
    // `SATELLITE` overrides the joined satellite.
    let other = Sky::new();
    let laptop = sky.manager();
    laptop.skypipe(&["x"]).fed("here\n").printed("");
    let there = |arguments: &[&str]| laptop.skypipe(arguments).var("SATELLITE", other.first());
    there(&["x"]).fed("there\n").printed("");
    laptop.skypipe(&["x"]).done().printed("here\n");
    there(&["x"]).done().printed("there\n");
}

#[test]
fn a_log_host_writes_logs_and_nothing_else() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["web", "--write", "--pipe", "logs"]);
    for host in [joined(&token), holding(&token)] {
        host.skypipe(&["logs"]).fed("a line\n").printed("");
        let refused = |arguments: &[&str], what: &str| {
            let sentence = format!("your key, web, does not allow you to {what}");
            let outcome = host.skypipe(arguments).fed("x\n");
            assert_eq!(outcome.told(1, &sentence), b"", "{arguments:?}");
        };
        refused(&["-r", "logs"], "read from \"logs\"");
        refused(&["--tap", "logs"], "read from \"logs\"");
        refused(&["--one", "logs"], "read from \"logs\"");
        refused(&["--follow", "logs"], "read from \"logs\"");
        refused(&["--discard", "logs"], "read from \"logs\"");
        refused(&["-w", "other"], "write to \"other\"");
        refused(&["-w"], "write to the default pipe");
        refused(&["--eof", "other"], "end the readers of \"other\"");
        refused(&["--keys"], "manage this satellite");
        refused(&["--revoke", "first"], "manage this satellite");
        refused(&["--no-phrase"], "manage this satellite");
        for command in ["--phrase", "--invite"] {
            let outcome = host.skypipe(&[command]).done();
            assert_eq!(outcome.told(1, "does not allow you to"), b"");
        }
        laptop.skypipe(&["secret"]).fed("payroll\n").printed("");
        let list = host.skypipe(&["--list"]).done().success();
        let list = String::from_utf8(list).expect("it is text");
        assert!(list.contains("logs") && !list.contains("secret"), "{list}");
        laptop.skypipe(&["logs"]).done().printed("a line\n");
        laptop.skypipe(&["secret"]).done().printed("payroll\n");
    }
}

#[test]
fn a_reader_reads_and_nothing_else() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let reader = joined(&invite(&laptop, &["tv", "--read", "--pipe", "news/*"]));
    laptop.skypipe(&["news/today"]).fed("sunny\n").printed("");
    reader.skypipe(&["news/today"]).done().printed("sunny\n");
    let refused = reader.skypipe(&["-w", "news/today"]).fed("rainy\n");
    refused.told(
        1,
        "your key, tv, does not allow you to write to \"news/today\"",
    );
    let refused = reader.skypipe(&["-r", "news"]).done();
    refused.told(1, "your key, tv, does not allow you to read from \"news\"");
    let reader = joined(&invite(&laptop, &["--read"]));
    laptop.skypipe(&["any"]).fed("thing\n").printed("");
    reader.skypipe(&["any"]).done().printed("thing\n");
}

#[test]
fn an_invitation_for_a_while_ends_with_it() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["guest", "--expires", "2s"]);
    let guest = holding(&token);
    guest.skypipe(&["x"]).fed("hello\n").printed("");
    let listener = guest.skypipe(&["--follow", "y"]).start();
    laptop.until_listeners("y", 1);
    // The satellite may notice the expiry first, even in the middle of an answer.
    wait::until("it expires", || {
        let outcome = guest.skypipe(&["--list"]).done();
        let is_in_the_middle =
            outcome.code == Some(1) && outcome.stderr.contains("your key has expired");
        assert!(
            is_in_the_middle || matches!(outcome.code, Some(0 | 4)),
            "{outcome}"
        );
        outcome.code == Some(4)
    });
    let outcome = guest.skypipe(&["--list"]).done();
    outcome.told(4, "has expired: ask for a new one");
    // Programs that use the key end within seconds.
    let outcome = listener.outcome();
    assert!(outcome.took < Duration::from_secs(15), "{outcome}");
    outcome.told(1, "your key has expired: ask for a new invitation");
    let guest = keys(&laptop).into_iter().find(|key| key[0] == "guest");
    let guest = guest.expect("it is listed all the same");
    assert!(guest[3].ends_with('Z'), "{guest:?}");
}

#[test]
fn keys_are_listed_with_their_last_use() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let host = holding(&invite(
        &laptop,
        &["web", "--write", "--pipe", "logs", "--pipe", "log/*"],
    ));
    invite(&laptop, &["phone"]);
    invite(&laptop, &["--read"]);
    let row = |name: &str| {
        let keys = keys(&laptop);
        let row = keys.iter().find(|key| key[0] == name);
        row.unwrap_or_else(|| panic!("{keys:?}")).clone()
    };
    assert_eq!(
        row("web"),
        ["web", "write", "logs, log/*", "never", "never", "nothing"]
    );
    assert_eq!(
        row("first"),
        ["first", "all", "all", "never", "now", "1 client"]
    );
    assert_eq!(
        row("phone"),
        ["phone", "all", "all", "never", "never", "nothing"]
    );
    assert_eq!(
        row("host"),
        ["host", "all", "all", "never", "never", "nothing"]
    );
    assert_eq!(
        row("key-5"),
        ["key-5", "read", "all", "never", "never", "nothing"]
    );
    let writer = host.skypipe(&["logs"]).piped().start();
    writer.say("a line\n");
    laptop.until_listed("logs", "it is written", |pipe| pipe.bytes > 0);
    assert_eq!(row("web")[4], "now");
    assert!(
        row("web")[5].starts_with("1 client, 1 writer, 1 stream, 71"),
        "{:?}",
        row("web")
    );
    writer.close_stdin();
    writer.outcome().printed("");
    wait::until("it is gone", || row("web")[4] != "now");
    assert!(row("web")[4].ends_with('Z'), "{:?}", row("web"));
    assert!(
        row("web")[5].starts_with("1 stream, 71"),
        "{:?}",
        row("web")
    );
}

#[test]
fn names_of_keys_are_used_once() {
    let sky = Sky::new();
    let laptop = sky.manager();
    invite(&laptop, &["web"]);
    let again = laptop.skypipe(&["--invite", "web"]).done();
    again.told(1, "a key already has that name");
    let narrow = laptop.skypipe(&["--invite", "x", "--pipe", "logs"]).done();
    narrow.told(2, "--pipe only works with --read or --write");
}

#[test]
fn a_machine_has_one_satellite_until_it_leaves_it() {
    let (sky, other) = (Sky::new(), Sky::new());
    let laptop = sky.manager();
    let outcome = laptop.skypipe(&["--join"]).fed(other.first());
    let sentence = format!(
        "this machine has already joined the satellite at {}",
        sky.endpoint()
    );
    outcome.told(1, &sentence);
    // Another key of the same satellite does not replace the joined one either, which may be the last of
    // its kind.
    let token = invite(&laptop, &["again"]);
    laptop.skypipe(&["--join"]).fed(&token).told(1, &sentence);
    let outcome = laptop.skypipe(&["--leave"]).done();
    outcome.told(0, "this machine uses its own satellite again");
    assert!(!joined_file(&laptop).exists());
    let outcome = laptop.skypipe(&["--leave"]).done();
    outcome.told(0, "this machine has not joined a satellite");
    laptop
        .skypipe(&["--join"])
        .fed(other.first())
        .told(0, "as first (all)");
}

#[test]
fn who_leaves_takes_its_key_out_of_the_satellite_or_says_why_not() {
    let mut sky = Sky::new();
    let laptop = sky.manager();
    for (name, flags) in [
        ("web", &["--write"][..]),
        ("tv", &["--read"]),
        ("phone", &[]),
    ] {
        let token = invite(&laptop, &[&[name], flags].concat());
        let machine = joined(&token);
        let outcome = machine.skypipe(&["--leave"]).done();
        outcome.told(0, &format!("its key, {name}, is revoked"));
        assert!(!joined_file(&machine).exists());
        assert!(keys(&laptop).iter().all(|key| key[0] != name));
        let copy = holding(&token).skypipe(&["--list"]).done();
        copy.told(4, "it was revoked");
    }
    // A copy of an invitation that could read includes the reading keys. They can still be renewed.
    let outcome = laptop.skypipe(&["--revoke", "tv"]).done();
    outcome.told(0, "sealed with a new reading key");

    let phone = joined(&invite(&laptop, &["phone"]));
    let tablet = joined(&invite(&laptop, &["tablet"]));
    laptop
        .skypipe(&["--revoke", "tablet"])
        .done()
        .told(0, "is revoked");
    let outcome = tablet.skypipe(&["--leave"]).done();
    outcome.told(0, "does not know this machine's key: it was revoked");
    // The last machine that can invite others leaves its key in place.
    let alone = Sky::new();
    let outcome = alone.manager().skypipe(&["--leave"]).done();
    outcome.told(0, "could not be revoked (this is the last key that can");
    sky.kill();
    let outcome = phone.skypipe(&["--leave"]).done();
    outcome.told(0, "but its key could not be revoked");
    assert!(!joined_file(&phone).exists());
}

#[test]
fn an_invitation_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let sky = Sky::new();
    let laptop = sky.manager();
    let file = joined_file(&laptop);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let sentence = "others can read your invitation in";
    laptop.skypipe(&["--list"]).done().told(1, sentence);
    laptop.skypipe(&["x"]).fed("x\n").told(1, sentence);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    laptop.skypipe(&["--list"]).done().success();
}

#[test]
fn an_invitation_that_came_to_harm_is_told_and_never_repeated() {
    let sky = Sky::new();
    let first = sky.first();
    let (address, secret) = first.rsplit_once('/').expect("it has a secret part");
    let cut = &first[..first.len() - 5];
    let other = if secret.as_bytes()[20] == b'A' {
        'B'
    } else {
        'A'
    };
    let changed = format!("{address}/{}{other}{}", &secret[..20], &secret[21..]);
    let broken = format!("{}\n{}", &first[..60], &first[60..]);
    for (mangled, why) in [
        (cut, "part of it is missing or was changed"),
        (&*changed, "part of it is missing or was changed"),
        (&*broken, "it was broken over several lines"),
        (
            &*format!("skypipe://{secret}"),
            "part of it is missing or was changed",
        ),
        (
            &*format!("skypipe://x:0/{secret}"),
            "between skypipe:// and the last slash belongs host:port",
        ),
        (secret, "it does not begin with skypipe://"),
    ] {
        let machine = Environment::here();
        let outcome = machine.skypipe(&["--join"]).fed(mangled);
        assert!(!outcome.stderr.contains(&secret[10..18]), "{outcome}");
        outcome.told(2, &format!("that is not an invitation: {why}"));
        assert!(!joined_file(&machine).exists());
        if mangled.starts_with("skypipe:") {
            let outcome = machine
                .skypipe(&["--list"])
                .var("SATELLITE", mangled)
                .done();
            assert!(!outcome.stderr.contains(&secret[10..18]), "{outcome}");
            let sentence = format!("the invitation in SATELLITE is invalid: {why}");
            outcome.told(2, &sentence);
        }
    }
    let outcome = Environment::here().skypipe(&["--join"]).fed("\n");
    outcome.told(
        2,
        "no invitation was given: paste its line, or pass it on stdin",
    );
}

#[test]
fn an_invitation_on_the_command_line_is_refused_and_not_repeated() {
    let sky = Sky::new();
    let machine = Environment::here();
    let (_, secret) = sky.first().rsplit_once('/').expect("it has a secret part");
    for arguments in [
        &["--join", sky.first()][..],
        &["-w", "--join", sky.first()],
        &["--join", "x", sky.first()],
        &["--list", sky.first()],
        &["--timeout", sky.first()],
        &["--satellite", sky.first()],
        &[sky.first()],
        &["-r", sky.first()],
        &["--invite", sky.first()],
        &["--revoke", sky.first()],
        &[&format!("--{}", sky.first())],
    ] {
        let outcome = machine.skypipe(arguments).done();
        assert!(!outcome.stderr.contains(secret), "{}", outcome.stderr);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    }
    let outcome = machine.skypipe(&["--join", sky.first()]).done();
    outcome.told(
        2,
        "an invitation is a secret, and others can see the command line: paste it",
    );
    let outcome = machine.skypipe(&["--join", secret]).done();
    assert!(!outcome.stderr.contains(secret), "{}", outcome.stderr);
    outcome.told(2, "--join takes no invitation on the command line");
}

#[test]
fn what_satellite_holds_is_not_repeated_if_it_could_be_an_invitation() {
    let sky = Sky::new();
    let first = sky.first();
    let (_, secret) = first.rsplit_once('/').expect("it has a secret part");
    let machine = Environment::here();
    for harmed in [
        format!("'{first}'"),
        format!("SATELLITE={first}"),
        first.replace("skypipe:", "skpipe:"),
        first.replace("skypipe:", "tcp:"),
        secret.to_owned(),
    ] {
        let outcome = machine
            .skypipe(&["--list"])
            .var("SATELLITE", &harmed)
            .done();
        assert!(!outcome.stderr.contains(&secret[10..30]), "{outcome}");
        outcome.told(2, "SATELLITE is invalid");
    }
    // A short text is no invitation, so the message quotes it.
    let outcome = machine
        .skypipe(&["--list"])
        .var("SATELLITE", "tcp://sky")
        .done();
    outcome.told(2, "SATELLITE=tcp://sky is invalid: it has no port");
}

#[test]
fn an_invitation_may_be_for_as_long_as_can_be_said() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let ages = u64::MAX.to_string();
    for absurd in [&ages, "36601days", "500ms"] {
        let outcome = laptop.skypipe(&["--invite", "--expires", absurd]).done();
        outcome.told(2, "--expires must be between one second and 100 years");
    }
    let phone = holding(&invite(&laptop, &["phone", "--expires", "36600days"]));
    phone.skypipe(&["x"]).fed("hello\n").printed("");
    let keys = keys(&laptop);
    let phone = keys
        .iter()
        .find(|key| key[0] == "phone")
        .expect("it is listed");
    assert!(phone[3].starts_with("21"), "{phone:?}");
}

#[test]
fn no_process_has_an_invitation_among_its_arguments() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let token = invite(&laptop, &["web"]);
    let host = holding(&token);
    let writer = host.skypipe(&["x"]).piped().start();
    let listener = laptop.skypipe(&["--follow", "x"]).start();
    laptop.until_listeners("x", 1);
    let satellite = sky.satellite().process();
    for process in [&writer, &listener, satellite] {
        let line = fs::read(format!("/proc/{}/cmdline", process.pid())).expect("it runs");
        let line = String::from_utf8_lossy(&line);
        assert!(!line.contains("skypipe://"), "{line}");
    }
    for said in [writer.said(), listener.said(), satellite.said()] {
        assert!(!said.contains("skypipe://"), "{said}");
    }
}

#[test]
fn without_an_invitation_there_is_nothing_to_say_of_keys() {
    let machine = Environment::here();
    for command in [
        &["--keys"][..],
        &["--invite"],
        &["--revoke", "x"],
        &["--phrase"],
    ] {
        let outcome = machine.skypipe(command).done();
        outcome.told(
            2,
            "this machine uses its own satellite, which is only for you and has no keys",
        );
    }
    let open = Environment::sky(&[]);
    let outcome = open.skypipe(&["--invite"]).done();
    outcome.told(2, "is an address, not an invitation");
}

#[test]
fn keys_are_printed_as_json_as_the_docs_say() {
    let sky = Sky::new();
    let laptop = sky.manager();
    joined(&invite(&laptop, &["web", "--write", "--pipe", "logs/*"]));
    let document = document(&laptop, "--keys");
    let keys = document["keys"].as_array().expect("it is an array");
    for key in keys {
        assert_is_as_documented("--keys", key);
    }
    let web = keys.iter().find(|key| key["name"] == "web");
    assert_eq!(
        web.expect("it is there")["pipes"],
        serde_json::json!(["logs/*"])
    );
}
