//! Clients of SKYPIPE/0.1 that vanish: they swallow nothing, and nobody waits for them in vain.

use std::env;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::process::Process;
use crate::common::{Environment, wait};
use crate::peers::lines;
use crate::peers::old::Old;

/// The variable with the endpoint for [`a_listener_in_a_process_of_its_own`].
const ENDPOINT: &str = "PEERS_ENDPOINT";

/// This is no test, but a program that the tests start: this test file itself.
#[test]
fn a_listener_in_a_process_of_its_own() {
    let Ok(endpoint) = env::var(ENDPOINT) else {
        return;
    };
    let mut reader = Old::at(&endpoint);
    reader.listen("p");
    reader.settle();
    println!("listens");
    loop {
        let (_, bytes) = reader.next();
        std::io::stdout().write_all(&bytes).expect("the test reads");
    }
}

fn listener_process(environment: &Environment) -> Process {
    let mut command = Command::new(env::current_exe().expect("it is here"));
    let this = "peers::gone::a_listener_in_a_process_of_its_own";
    command.args([this, "--exact", "--nocapture"]);
    let run = environment.run(command, this);
    let process = run.var(ENDPOINT, environment.on_port().endpoint()).start();
    process.shows("listens\n");
    process
}

#[test]
fn a_listener_whose_socket_is_closed_swallows_nothing() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    reader.listen("p");
    reader.settle();
    writer.data("p", "taken\n");
    assert_eq!(reader.next().1, b"taken\n");
    drop(reader);
    environment.until_listeners("p", 0);
    writer.write("p", &lines("next", 100));
    assert_eq!(
        Old::new(&environment).take("p"),
        lines("next", 100).concat()
    );
}

#[test]
fn a_listener_whose_process_is_killed_swallows_nothing() {
    let environment = Environment::sky(&[]);
    let writer = Old::new(&environment);
    let reader = listener_process(&environment);
    writer.data("p", "taken\n");
    reader.shows("taken\n");
    reader.signal(Signal::KILL);
    environment.until_listeners("p", 0);
    writer.write("p", &lines("next", 100));
    assert_eq!(
        Old::new(&environment).take("p"),
        lines("next", 100).concat()
    );
}

/// ZeroMQ's own heartbeats detect it: this protocol has none that its clients survive.
#[test]
fn a_listener_whose_machine_hangs_is_given_up_and_one_that_is_merely_silent_is_not() {
    let environment = Environment::sky(&[]);
    let mut silent = Old::new(&environment);
    silent.listen("silent");
    silent.settle();
    let reader = listener_process(&environment);
    reader.signal(Signal::STOP);
    let gone = || environment.listed("p").listeners == 0;
    assert!(
        wait::holds_within(Duration::from_secs(30), gone),
        "it is noticed"
    );
    assert!(silent.has_nothing(), "no HELLO that was not asked for");
    Old::new(&environment).write("p", &lines("next", 3));
    Old::new(&environment).write("silent", &lines("heard", 3));
    assert_eq!(Old::new(&environment).take("p"), lines("next", 3).concat());
    assert_eq!(silent.read("silent"), lines("heard", 3).concat());
}

#[test]
fn a_writer_that_vanishes_has_its_stream_cut() {
    let environment = Environment::sky(&[]);
    let (mut writer, mut old) = (Old::new(&environment), Old::new(&environment));
    old.listen("p");
    old.settle();
    let new = environment.skypipe(&["-r", "p"]).start();
    environment.until_listeners("p", 2);
    writer.data("p", "half\n");
    writer.settle();
    drop(writer);
    let read = new.outcome().told(3, "the stream of a 0.1 client was cut");
    assert_eq!(read, b"half\n");
    assert_eq!(
        old.read("p"),
        b"half\n",
        "to a 0.1 listener a cut is an end"
    );
}

#[test]
fn what_a_vanished_writer_left_waits_and_says_that_it_was_cut() {
    let environment = Environment::sky(&[]);
    let mut writer = Old::new(&environment);
    writer.data("p", "half\n");
    writer.settle();
    drop(writer);
    environment.until_listed("p", "the writer is gone", |line| line.writers == 0);
    let read = environment.skypipe(&["-r", "p"]).done().told(3, "was cut");
    assert_eq!(read, b"half\n");
}

#[test]
fn a_writer_that_ends_and_goes_at_once_leaves_everything() {
    let environment = Environment::sky(&[]);
    let lines = lines("gone", 20_000);
    let writer = Old::new(&environment);
    writer.write("p", &lines);
    drop(writer);
    environment.until_listed("p", "all is there", |line| {
        (line.waiting, line.writers) == (1, 0)
    });
    assert!(Old::new(&environment).take("p") == lines.concat());
}
