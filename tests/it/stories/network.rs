//! Network failures, and satellites that end (rule 16).

use std::time::Duration;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Run;
use crate::common::relay::Relay;
use crate::common::wait;
use crate::stories::text;

/// `skypipe ARGUMENTS`, which reaches its satellite through `relay`.
fn through(sky: &Environment, relay: &Relay, arguments: &[&str]) -> Run {
    sky.skypipe(arguments).var("SATELLITE", relay.endpoint())
}

#[test]
fn rule_16_nothing_is_lost_or_doubled_by_connections_that_break() {
    let sky = Environment::sky(&[]);
    let relay = Relay::to(sky.on_port().endpoint());
    let listeners: Vec<_> = ["-r", "--one", "--follow"]
        .iter()
        .map(|mode| {
            let name = mode.trim_start_matches('-');
            let listener = through(&sky, &relay, &[mode, name]).start();
            sky.until_listeners(name, 1);
            (name, listener)
        })
        .collect();
    let file = text(24_000_000);
    sky.put("file", &file);
    for (name, listener) in listeners {
        let writer = through(&sky, &relay, &["-w", name]);
        let file_there = std::fs::File::open(sky.home().join("file")).expect("it is there");
        let writer = writer.stdin(file_there).start();
        for part in 1..=5 {
            // Each byte passes twice, and data in flight at a cut passes again.
            let carried = relay.carried() + file.len() / 4;
            wait::until("some of it is carried", || {
                relay.carried() >= carried || !writer.runs()
            });
            assert!(part > 2 || writer.runs(), "there was nothing to cut");
            relay.cut();
        }
        writer.outcome().printed("");
        if name == "follow" {
            sky.until_taken(name);
            sky.skypipe(&["--eof", name]).done().printed("");
            listener.outcome().ended_by_eof(&file);
        } else {
            listener.outcome().printed(&file);
        }
    }
}

/// Whoever resumes says how far it came in every stream it remembers, and has no credit for a long message.
#[test]
fn rule_16_a_listener_that_has_seen_a_thousand_streams_comes_back() {
    const STREAMS: usize = 1000;
    let sky = Environment::sky(&[]);
    let relay = Relay::to(sky.on_port().endpoint());
    let listener = through(&sky, &relay, &["-f", "-r", "x"]).start();
    sky.until_listeners("x", 1);
    let writers = format!("for i in $(seq {STREAMS}); do echo $i | skypipe -w x || exit 1; done");
    sky.shell(&writers).done().success();
    listener.shows(&format!("\n{STREAMS}\n"));
    relay.cut();
    sky.skypipe(&["-w", "x"]).fed("after\n").printed("");
    listener.shows("after\n");
    sky.skypipe(&["--eof", "x"]).done().printed("");
    let numbers: Vec<_> = (1..=STREAMS).map(|number| number.to_string()).collect();
    let all = format!("{}\nafter\n", numbers.join("\n"));
    listener.outcome().ended_by_eof(all);
}

#[test]
fn rule_16_clients_come_back_after_a_while_without_a_network() {
    let sky = Environment::sky(&[]);
    let relay = Relay::to(sky.on_port().endpoint());
    let listener = through(&sky, &relay, &["x"]).start();
    sky.until_listeners("x", 1);
    let writer = through(&sky, &relay, &["x"]).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    relay.lead(None);
    writer.say("meanwhile\n");
    let both = || listener.runs() && writer.runs();
    wait::while_passes(Duration::from_secs(1), "both look for the satellite", both);
    relay.lead(Some(sky.on_port().endpoint()));
    listener.shows("meanwhile\n");
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed("before\nmeanwhile\n");
}

#[test]
fn rule_16_a_satellite_that_halts_gives_nobody_up() {
    let sky = Environment::sky(&["--lost-writer", "5s", "--lost-listener", "5s"]);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    let satellite = sky.on_port().process();
    satellite.signal(Signal::STOP);
    writer.say("meanwhile\n");
    let both = || listener.runs() && writer.runs();
    wait::while_passes(Duration::from_secs(6), "both wait for the satellite", both);
    satellite.signal(Signal::CONT);
    listener.shows("meanwhile\n");
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed("before\nmeanwhile\n");
}

#[test]
fn rule_16_a_satellite_without_a_data_directory_loses_all_and_its_clients_say_so() {
    let sky = Environment::sky(&[]);
    let another = sky.satellite(&[]);
    let relay = Relay::to(sky.on_port().endpoint());
    let listener = through(&sky, &relay, &["x"]).start();
    let writer = through(&sky, &relay, &["x"]).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    let waiting = through(&sky, &relay, &["--wait", "y"]).piped().start();
    waiting.say("unread\n");
    waiting.close_stdin();
    sky.until_waiting("y", 1);
    sky.on_port().process().signal(Signal::KILL);
    relay.lead(Some(another.endpoint()));
    for client in [listener, writer, waiting] {
        let outcome = client.outcome();
        assert_eq!(outcome.code, Some(3), "{outcome}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    }
}

#[test]
fn a_satellite_ends_in_good_order_when_told_to() {
    let sky = Environment::sky(&[]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let satellite = sky.satellite(&[]);
        let there = || sky.skypipe(&["x"]).var("SATELLITE", satellite.endpoint());
        there().fed("lost with it").printed("");
        satellite.process().signal(signal);
        assert_eq!(satellite.end().code, Some(0), "{signal:?}");
    }
}

#[test]
fn names_and_addresses_of_loopback_are_reached() {
    let sky = Environment::sky(&[]);
    let port = sky
        .on_port()
        .endpoint()
        .rsplit(':')
        .next()
        .expect("there is a port");
    sky.skypipe(&["x"]).fed("text").printed("");
    let endpoint = format!("tcp://localhost:{port}");
    sky.skypipe(&["x"])
        .var("SATELLITE", endpoint)
        .done()
        .printed("text");

    let six = sky.skypipe(&["--satellite", "[::1]:0"]).start();
    wait::until("it listens, if there is IPv6", || six.said().contains('\n'));
    if let Some(endpoint) = six.said().trim_end().strip_prefix("listening on ") {
        assert!(endpoint.starts_with("tcp://[::1]:"), "{endpoint}");
        sky.skypipe(&["x"])
            .var("SATELLITE", endpoint)
            .fed("by six")
            .printed("");
        sky.skypipe(&["x"])
            .var("SATELLITE", endpoint)
            .done()
            .printed("by six");
    }
}

#[test]
fn a_port_that_is_in_use_is_a_failure() {
    let sky = Environment::sky(&[]);
    let address = sky.on_port().endpoint().trim_start_matches("tcp://");
    let second = sky.skypipe(&["--satellite", address]).done();
    second.told(1, &format!("cannot listen on tcp://{address}"));
}
