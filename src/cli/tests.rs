//! Tests: which flags go together, and which command they make.

use std::os::unix::ffi::OsStringExt;

use super::*;

fn read(line: &str) -> Result<Command, Stop> {
    parse(line.split_whitespace().map(OsString::from)).map(|(command, _)| command)
}

#[track_caller]
fn pipe(line: &str) -> Pipe {
    match read(line) {
        Ok(Command::Pipe(pipe)) => pipe,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &str) -> String {
    match read(line) {
        Err(Stop::Usage(sentence)) => sentence,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_flags_are_sound() {
    Flags::command().debug_assert();
}

#[test]
fn without_flags_stdin_decides() {
    assert_eq!(
        pipe("skypipe"),
        Pipe {
            name: String::new(),
            way: Way::Unsaid,
            timeouts: Timeouts::default(),
            progress: Wanted::Auto,
            command: Vec::new(),
        }
    );
    assert_eq!(pipe("skypipe logs").name, "logs");
    assert_eq!(pipe("skypipe -- -logs").name, "-logs");
}

#[test]
fn behind_two_dashes_stands_a_command_whose_output_is_written() {
    for (line, name, command) in [
        ("skypipe db -- pg_dump -Fc app", "db", "pg_dump -Fc app"),
        ("skypipe -w db -- tar c . -- x", "db", "tar c . -- x"),
        ("skypipe --wait -- date", "", "date"),
        // A name may stand behind `--` if it cannot be a command.
        ("skypipe -- -logs", "-logs", ""),
        ("skypipe -w -- -logs -- date -u", "-logs", "date -u"),
        ("skypipe -r -- logs", "logs", ""),
        ("skypipe --tap -- -r", "-r", ""),
    ] {
        let pipe = pipe(line);
        let words: Vec<_> = pipe.command.iter().map(|word| word.to_str()).collect();
        let expected: Vec<_> = command.split_whitespace().map(Some).collect();
        assert_eq!((&*pipe.name, words), (name, expected), "{line}");
    }
    assert!(matches!(
        read("skypipe --discard -- logs"),
        Ok(Command::Discard(name, ..)) if name == "logs"
    ));
    for line in [
        "skypipe -r logs -- date",
        "skypipe --one -- date -u",
        "skypipe --list -- date -u",
        "skypipe --eof logs -- date",
    ] {
        assert!(
            refused(line).contains("the command date after -- only works when writing"),
            "{line}"
        );
    }
}

#[test]
fn both_spellings_of_a_word_name_one_pipe_and_the_one_that_is_sent_is_measured() {
    assert_eq!(pipe("skypipe cafe\u{301}").name, "caf\u{e9}");
    assert_eq!(pipe("skypipe -- -cafe\u{301}").name, "-caf\u{e9}");
    let long = "e\u{301}".repeat(127);
    assert_eq!(long.len(), 381);
    assert_eq!(pipe(&format!("skypipe {long}")).name.len(), 254);
    // Normalization makes some names longer.
    let grows = "\u{2adc}".repeat(85);
    assert_eq!(grows.len(), 255);
    assert!(refused(&format!("skypipe {grows}")).contains("255 bytes"));
    match read("skypipe --invite -r --pipe cafe\u{301}* jose\u{301}") {
        Ok(Command::Invite(invite)) => {
            assert_eq!(invite.pipes, ["caf\u{e9}*"]);
            assert_eq!(invite.name, "jos\u{e9}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn modes_imply_reading_and_wait_implies_writing() {
    assert_eq!(pipe("skypipe -r").way, Way::Read(Mode::Default));
    assert_eq!(pipe("skypipe -1").way, Way::Read(Mode::One));
    assert_eq!(pipe("skypipe --one -r").way, Way::Read(Mode::One));
    assert_eq!(pipe("skypipe -f logs").way, Way::Read(Mode::Follow));
    assert_eq!(pipe("skypipe --tap logs").way, Way::Read(Mode::Tap));
    assert_eq!(
        pipe("skypipe -w").way,
        Way::Write {
            said: true,
            wait: false,
            whole: false,
            compress: Compression::Auto,
        }
    );
    assert_eq!(
        pipe("skypipe --wait").way,
        Way::Write {
            said: false,
            wait: true,
            whole: false,
            compress: Compression::Auto,
        }
    );
    assert_eq!(
        pipe("skypipe --compress 3").way,
        Way::Write {
            said: false,
            wait: false,
            whole: false,
            compress: Compression::Level(3),
        }
    );
    assert_eq!(
        pipe("skypipe -w --wait").way,
        Way::Write {
            said: true,
            wait: true,
            whole: false,
            compress: Compression::Auto,
        }
    );
}

#[test]
fn a_typo_is_answered_with_what_may_have_been_meant() {
    let lst = refused("skypipe --lst");
    assert_eq!(lst, "unknown option --lst; did you mean --list?");
    assert_eq!(refused("skypipe --zzzz"), "unknown option --zzzz");
}

#[test]
fn a_flag_at_the_wrong_command_is_refused_with_the_right_one() {
    for (line, expected) in [
        ("--yes", "--yes only works with --reset and --revoke"),
        ("--expires 1h x", "--expires only works with --invite"),
        ("--memory 64MiB", "--memory only works with --satellite"),
        (
            "--phrase --json",
            "--json only works with --setup, --reset, --list, --check and --keys",
        ),
        ("--check --region fra", "--region only works with --setup"),
        (
            "--list logs",
            "--list takes no name, but \"logs\" was given",
        ),
        ("--list -f", "--follow cannot be used with --list"),
        (
            "--revoke",
            "--revoke takes the name of a key; to see them: skypipe --keys",
        ),
    ] {
        assert_eq!(refused(&format!("skypipe {line}")), expected, "{line}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let lines = [
        "skypipe -r -w",
        "skypipe --one -w",
        "skypipe --follow --wait",
        "skypipe --wait -r",
        "skypipe --one --follow",
        "skypipe --tap -f",
        "skypipe --list --check",
        "skypipe --eof -r logs",
        "skypipe --list logs",
        "skypipe --check logs",
        "skypipe --yes",
        "skypipe --check --yes",
        "skypipe --setup --timeout 3",
        "skypipe --keys --connect-timeout 3",
        "skypipe --satellite 9000 --wait",
        "skypipe one two",
        "skypipe --sideways",
        "skypipe --memory 1",
        "skypipe --check --insecure",
        "skypipe --check --port 9000",
        "skypipe --eof --json",
        "skypipe --setup --data /sky",
        "skypipe --setup --port 0",
        "skypipe --setup --image a --satellite-binary b",
        "skypipe --keys --public sky",
        "skypipe --phrase --data /sky",
    ];
    for line in lines {
        let sentence = refused(line);
        assert!(
            !sentence.contains('\n') && !sentence.starts_with("error"),
            "{line}: {sentence}"
        );
    }
    assert_eq!(
        refused("skypipe --one -w"),
        "--one reads and --write writes: use only one of them"
    );
}

#[test]
fn how_long_a_satellite_is_looked_for_can_be_said_wherever_one_is_used() {
    let hour = Timeouts {
        idle: None,
        connect: Some(Duration::from_secs(3600)),
    };
    assert!(matches!(
        read("skypipe -w logs --connect-timeout 1h"),
        Ok(Command::Pipe(Pipe { timeouts, .. })) if timeouts == hour
    ));
    assert!(matches!(
        read("skypipe --check --connect-timeout 3600"),
        Ok(Command::Check(timeouts, None, Form::Table)) if timeouts == hour
    ));
}

#[test]
fn commands_take_the_default_pipe_without_a_name() {
    assert!(matches!(
        read("skypipe --eof"),
        Ok(Command::Eof(name, ..)) if name.is_empty()
    ));
    assert!(matches!(
        read("skypipe --discard jobs"),
        Ok(Command::Discard(name, ..)) if name == "jobs"
    ));
    assert!(matches!(
        read("skypipe --list --timeout 5"),
        Ok(Command::List(..))
    ));
    assert!(matches!(
        read("skypipe --reset --yes"),
        Ok(Command::Reset(Reset {
            target: None,
            yes: true,
            ..
        }))
    ));
    assert!(matches!(
        read("skypipe --satellite 9000"),
        Ok(Command::Satellite(..))
    ));
}

#[test]
fn a_target_of_setup_may_be_said() {
    let setup = |line| match read(line) {
        Ok(Command::Setup(setup)) => setup,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(setup("skypipe --setup").target, None);
    let said = setup("skypipe --setup ssh://me@sky:2222 --port 9001 --public sky.example.org");
    assert_eq!(said.target.as_deref(), Some("ssh://me@sky:2222"));
    assert_eq!(said.deploy.port, Some(9001));
    assert_eq!(said.public, "sky.example.org".parse().ok());
}

#[test]
fn the_directory_of_a_satellite_on_this_machine_may_be_said() {
    let data = |line: &str| match read(line) {
        Ok(
            Command::Check(_, data, _)
            | Command::List(_, data, _)
            | Command::Discard(_, _, data)
            | Command::Keys(data, _),
        ) => data,
        other => panic!("{line}: {other:?}"),
    };
    for line in ["--check", "--list", "--keys", "--discard jobs"] {
        let line = format!("skypipe {line} --data /sky");
        assert_eq!(data(&line), Some("/sky".into()), "{line}");
    }
}

#[test]
fn durations_are_read_as_people_write_them() {
    assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
    for text in ["", "0", "0s", "-1", "soon", "1.5.2s"] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert!(refused("skypipe --timeout soon").contains("not a duration"));
}

#[test]
fn names_are_checked() {
    assert!(refused(&format!("skypipe {}", "x".repeat(256))).contains("255"));
    let control = parse([OsString::from("skypipe"), OsString::from("a\nb")]);
    assert!(matches!(control, Err(Stop::Usage(_))), "{control:?}");
    let no_utf8 = parse([
        OsString::from("skypipe"),
        OsString::from_vec(vec![b'a', 0xff]),
    ]);
    assert!(matches!(no_utf8, Err(Stop::Usage(_))), "{no_utf8:?}");
}

#[test]
fn version_and_help_are_shown() {
    let Err(Stop::Show(version)) = read("skypipe --version") else {
        panic!("no version")
    };
    assert_eq!(version, format!("{}\n", crate::config::PROGRAM));
    let Err(Stop::Show(help)) = read("skypipe --help") else {
        panic!("no help")
    };
    assert!(help.contains("--follow") && !help.contains("--local-satellite"));
    for line in help.lines() {
        assert!(line.chars().count() <= 80, "too wide: {line}");
    }
}

#[test]
fn how_much_is_said_goes_with_each_command() {
    let level = |line: &str| {
        let parsed = parse(line.split_whitespace().map(OsString::from));
        parsed.map(|(_, level)| level)
    };
    assert_eq!(level("skypipe -q logs"), Ok(Level::Quiet));
    assert_eq!(level("skypipe --verbose --list"), Ok(Level::Verbose));
    assert_eq!(level("skypipe logs"), Ok(Level::Normal));
    assert!(matches!(level("skypipe -q -v logs"), Err(Stop::Usage(_))));
}
