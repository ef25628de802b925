//! Invalid usage (exit 2), and satellites that cannot be reached (exit 4).

use std::net::TcpListener;
use std::time::Duration;

use crate::common::Environment;
use crate::stories::text;

#[test]
fn flags_and_names_that_make_no_sense_are_refused_in_a_sentence() {
    let home = Environment::here();
    let long = "n".repeat(256);
    let cases: &[(&[&str], &str)] = &[
        (&["a\nb"], "control characters"),
        (&["a\tb"], "control characters"),
        (&[&long], "at most 255 bytes"),
        (&["a", "b"], "'b'"),
        (&["-r", "-w"], "--read reads and --write writes"),
        (&["--one", "--wait"], "--one reads and --wait writes"),
        (
            &["--one", "--follow"],
            "--one and --follow cannot be used together",
        ),
        (&["--tap", "--follow"], "cannot be used together"),
        (&["--list", "--check"], "cannot be used together"),
        (&["--list", "name"], "name"),
        (&["--check", "--read"], "--read"),
        (&["--eof", "--one", "x"], "--one"),
        (&["--yes"], "--reset"),
        (&["--reset", "--timeout", "1s"], "--timeout"),
        (&["--timeout", "soon", "x"], "soon"),
        (&["--timeout", "0", "x"], "longer than 0"),
        (&["--timeout"], "--timeout"),
        (&["--memory", "1GiB", "x"], "--memory"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--satellite"], "--satellite"),
        (&["--satellite", "http"], "port"),
        (&["--satellite", "127.0.0.1:65536"], "port"),
        (&["--satellite", "0.0.0.0:0"], "--insecure"),
        (&["--satellite", "0", "--memory", "1"], "4MiB"),
        (&["--satellite", "0", "--lost-writer", "0s"], "1s"),
    ];
    for (arguments, sentence) in cases {
        let refused = home.skypipe(arguments).done();
        assert_eq!(refused.told(2, sentence), b"");
    }
    assert!(!home.state().exists(), "nothing was started for that");
}

#[test]
fn names_that_are_no_utf_8_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;
    let home = Environment::here();
    let mut command = Command::new(crate::common::SKYPIPE);
    command.arg(OsStr::from_bytes(b"\xff\xfe"));
    home.run(command, "skypipe with a name that is no UTF-8")
        .done()
        .told(2, "UTF-8");
}

#[test]
fn environments_that_make_no_sense_are_refused_in_a_sentence() {
    let home = Environment::here();
    home.put("file", "");
    let satellites = [
        "127.0.0.1:9000",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:70000",
        "tcp://::1:9000",
        "tcp://a..b:9000",
        "http://127.0.0.1:9000",
        "tcp://127.0.0.1:9000/",
    ];
    for satellite in satellites {
        let refused = home.skypipe(&["x"]).var("SATELLITE", satellite).done();
        refused.told(2, "SATELLITE");
    }
    let file = home.home().join("file");
    for bad in [
        "relative",
        "/nowhere/at/all",
        file.to_str().expect("it is plain"),
    ] {
        let refused = home.skypipe(&["x"]).var("HOME", bad).done();
        refused.told(2, "home directory");
    }
    let reset = home
        .skypipe(&["--reset"])
        .var("SATELLITE", "tcp://127.0.0.1:9")
        .done();
    reset.told(2, "SATELLITE");
    // An empty variable counts as not set.
    home.skypipe(&["x"])
        .var("SATELLITE", "")
        .fed("text")
        .printed("");
    home.skypipe(&["x"]).done().printed("text");
}

#[test]
fn a_satellite_that_is_not_there_is_noticed_within_ten_seconds() {
    let home = Environment::here();
    let bind = || TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let name =
        |listener: &TcpListener| format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let closed = name(&bind());
    // The system accepts connections, and nobody ever answers.
    let silent = bind();
    let cases = [
        (closed.clone(), vec!["x"]),
        (closed.clone(), vec!["-w", "x"]),
        (closed.clone(), vec!["--list"]),
        (closed.clone(), vec!["--check"]),
        (closed.clone(), vec!["--eof", "x"]),
        (name(&silent), vec!["x"]),
        (name(&silent), vec!["--check"]),
        ("tcp://no-such-host.invalid:9000".to_owned(), vec!["x"]),
    ];
    let clients: Vec<_> = cases
        .iter()
        .map(|(endpoint, arguments)| {
            let client = home.skypipe(arguments).var("SATELLITE", endpoint).start();
            (endpoint, client)
        })
        .collect();
    for (endpoint, client) in clients {
        let outcome = client.outcome();
        assert!(
            outcome.took < Duration::from_secs(10),
            "{:?} {outcome}",
            outcome.took
        );
        let told = format!("no satellite answers at {endpoint}");
        assert_eq!(outcome.told(4, &told), b"");
    }
    let hasty = home
        .skypipe(&["--timeout", "300ms", "x"])
        .var("SATELLITE", closed)
        .done();
    assert!(
        hasty.took < Duration::from_secs(3),
        "{:?} {hasty}",
        hasty.took
    );
    hasty.told(4, "no satellite answers");
}

#[test]
fn help_and_version_go_to_stdout() {
    let home = Environment::here();
    let help = home.skypipe(&["--help"]).done().success();
    let help = String::from_utf8(help).expect("it is text");
    for flag in [
        "--one",
        "--follow",
        "--tap",
        "--eof",
        "--wait",
        "--satellite",
        "SATELLITE",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    assert!(!help.contains("--local-satellite"), "{help}");
    let version = home.skypipe(&["--version"]).done();
    version.printed(format!("skypipe {}\n", env!("CARGO_PKG_VERSION")));
    // A reader that closes the pipe has seen enough.
    home.shell("skypipe --help | head -n 0").done().printed("");
}

#[test]
fn stdout_carries_data_and_nothing_else() {
    let home = Environment::here();
    let terminal = crate::common::terminal::Terminal::open();
    let file = text(1000);
    home.put("file", &file);
    let first_use = home
        .shell("cat file | skypipe x")
        .stderr(terminal.side())
        .done();
    assert_eq!((first_use.code, first_use.stdout), (Some(0), Vec::new()));
    terminal.shows("a satellite was started on this machine");
    let reader = home.skypipe(&["x"]).stderr(terminal.side()).done();
    assert!(reader.stdout == file);
}
