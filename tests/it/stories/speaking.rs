//! What programs say on a terminal and in a script while they work: states, receipts, progress, `-q`, `-v`.

use crate::common::Environment;
use crate::common::terminal::Terminal;

/// The columns of the terminals, unless a test says otherwise.
const COLUMNS: u16 = 120;

#[test]
fn a_reader_says_once_that_it_waits_and_nothing_more() {
    let sky = Environment::sky(&[]);
    let terminal = Terminal::open();
    let reader = sky.skypipe(&["-r", "x"]).stderr(terminal.side()).start();
    terminal.shows("skypipe: waiting for data on \"x\" (Ctrl-C to stop)\r\n");
    sky.skypipe(&["-w", "x"]).fed("text").printed("");
    reader.outcome().printed("text");
    assert_eq!(
        terminal.lines(COLUMNS),
        ["skypipe: waiting for data on \"x\" (Ctrl-C to stop)"]
    );
}

#[test]
fn a_writer_that_waits_for_readers_says_so_and_gives_a_receipt() {
    let sky = Environment::sky(&[]);
    let terminal = Terminal::open();
    let writer = sky.skypipe(&["--wait", "x"]).piped();
    let writer = writer.stderr(terminal.side()).start();
    writer.say("text");
    writer.close_stdin();
    terminal.shows("everything is sent: waiting until someone reads \"x\"\r\n");
    sky.skypipe(&["x"]).done().printed("text");
    terminal.shows("s: read\r\n");
    writer.outcome().printed("");
    let lines = terminal.lines(COLUMNS);
    assert!(
        lines[1].starts_with("skypipe: sent 4 bytes in "),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_script_is_told_nothing_while_all_is_well_unless_it_asks() {
    let sky = Environment::sky(&[]);
    sky.skypipe(&["-w", "x"]).fed("text").printed("");
    sky.skypipe(&["x"]).done().printed("text");
    let writer = sky.skypipe(&["-v", "-w", "x"]).fed("text");
    writer.told(0, "sent 4 bytes in ");
    let directory = std::fs::File::open(sky.home()).expect("it is there");
    let quiet = sky.skypipe(&["-q", "-w", "x"]).stdin(directory).done();
    quiet.told(1, "cannot read stdin");
}

#[test]
fn a_name_like_an_option_is_used_and_the_option_is_named() {
    let sky = Environment::sky(&[]);
    let terminal = Terminal::open();
    let writer = sky.skypipe(&["-w", "list"]).stderr(terminal.side());
    writer.fed("text").success();
    terminal.shows("this writes into the pipe \"list\"; for the option: skypipe --list\r\n");
    sky.skypipe(&["list"]).done().printed("text");
}

#[test]
fn a_long_transfer_shows_how_far_it_is_and_leaves_nothing_on_the_line() {
    for columns in [40, 80, 200] {
        let sky = Environment::sky(&[]);
        let terminal = Terminal::open();
        terminal.has_columns(columns);
        let writer = sky.skypipe(&["-w", "x"]).piped().var("TERM", "xterm");
        let writer = writer.stderr(terminal.side()).start();
        writer.say("some text");
        terminal.shows("9 B, ");
        writer.close_stdin();
        writer.outcome().printed("");
        terminal.shows("safe at the satellite, or read already\r\n");
        let lines = terminal.lines(columns);
        let all = lines.concat();
        assert!(all.starts_with("skypipe: sent 9 bytes in "), "{lines:?}");
        assert!(all.ends_with("or read already"), "{lines:?}");
        assert!(!all.contains("B/s"), "{lines:?}");
    }
}

#[test]
fn a_dumb_terminal_and_no_progress_show_no_line() {
    let sky = Environment::sky(&[]);
    for (term, flags) in [
        ("dumb", &["-w", "x"][..]),
        ("xterm", &["--no-progress", "-w", "x"]),
    ] {
        let terminal = Terminal::open();
        let writer = sky.skypipe(flags).piped().var("TERM", term);
        let writer = writer.stderr(terminal.side()).start();
        writer.say("some text");
        sky.until_waiting("x", 1);
        writer.close_stdin();
        writer.outcome().printed("");
        terminal.shows("read already\r\n");
        assert!(
            !terminal.screen().contains('\u{1b}'),
            "{}",
            terminal.screen()
        );
        sky.skypipe(&["x"]).done().printed("some text");
    }
}
