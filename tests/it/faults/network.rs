//! Networks that lose packets, stall, are cut, or lead elsewhere (rule 16).

use std::fs::File;
use std::time::Duration;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::relay::{Relay, Weather};
use crate::common::wait;
use crate::faults::hosts::{Host, are_possible};
use crate::faults::lines::content;

const DEADLINE: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(90);

/// The addresses of the satellite's host, of the clients' host, and of the satellite's later host.
const SATELLITE: &str = "10.77.0.1";
const CLIENTS: &str = "10.77.0.2";
const LATER: &str = "10.77.0.3";

/// A satellite on one host, and clients on another.
struct Net {
    sky: Environment,
    satellite: Host,
    clients: Host,
}

impl Net {
    /// `None` if hosts cannot be simulated here.
    fn new(listen: &str, flags: &[&str]) -> Option<Self> {
        let mut sky = Environment::here_within(DEADLINE);
        if !are_possible(&sky) {
            return None;
        }
        let (satellite, clients) = (Host::new(&sky), Host::new(&sky));
        satellite.join(&sky, SATELLITE, &clients, CLIENTS);
        sky.enter(satellite.entrance());
        let flags = [&["--insecure", "--data", "data"], flags].concat();
        let listening = sky.satellite_at(&format!("{listen}:0"), &flags);
        sky.lead(listening);
        sky.enter(clients.entrance());
        Some(Self {
            sky,
            satellite,
            clients,
        })
    }

    /// Runs a script on one of the hosts.
    fn does(&mut self, host: fn(&Self) -> &Host, script: &str) {
        self.sky.enter(Vec::new());
        host(self).does(&self.sky, script);
        let entrance = self.clients.entrance();
        self.sky.enter(entrance);
    }
}

/// A listener of each kind, each with a pipe of its own and a writer.
struct Traffic {
    parties: Vec<(&'static str, Process, Process)>,
    stream: Vec<u8>,
}

impl Traffic {
    fn start(sky: &Environment, size: usize) -> Self {
        let stream = content(1, size);
        sky.put("file", &stream);
        let modes = [("-r", "live"), ("--one", "one"), ("--follow", "follow")];
        let listeners = modes.map(|(mode, name)| {
            let listener = sky.skypipe(&[mode, name]);
            let listener = listener.patient(PATIENCE).start();
            sky.until_listeners(name, 1);
            (name, listener)
        });
        let parties = listeners.map(|(name, listener)| {
            let file = File::open(sky.home().join("file")).expect("it is there");
            let writer = sky.skypipe(&["-w", name]).stdin(file).patient(PATIENCE);
            (name, listener, writer.start())
        });
        Self {
            parties: parties.into(),
            stream,
        }
    }

    /// Waits until this percentage has arrived.
    fn until(&self, percent: usize) {
        let shown = || {
            self.parties
                .iter()
                .map(|(_, listener, _)| listener.shown().len())
        };
        let goal = self.stream.len() * percent / 100 * self.parties.len();
        let is_there = wait::holds_within(PATIENCE, || shown().sum::<usize>() >= goal);
        assert!(
            is_there,
            "in vain: {percent}% of {goal}: {:?}",
            shown().collect::<Vec<_>>()
        );
    }

    fn is_under_way(&self) -> bool {
        self.parties.iter().any(|(_, listener, _)| listener.runs())
    }

    /// Checks that everything arrives, exactly once.
    fn end(self, sky: &Environment) {
        for (name, listener, writer) in self.parties {
            writer.outcome().printed("");
            if name == "follow" {
                let all = self.stream.len();
                let is_there = || listener.shown().len() >= all;
                assert!(
                    wait::holds_within(PATIENCE, is_there),
                    "all of it is printed"
                );
                sky.until_taken(name);
                sky.skypipe(&["--eof", name]).done().printed("");
            }
            let outcome = listener.outcome();
            let (got, all) = (outcome.stdout.len(), self.stream.len());
            assert!(
                outcome.stdout == self.stream,
                "{name}: {got} bytes of {all}"
            );
            outcome.whatever_ended_it().success();
            assert!(sky.is_gone(name));
        }
    }
}

#[test]
fn rule_16_nothing_is_lost_or_doubled_where_one_packet_in_a_hundred_is() {
    let Some(mut net) = Net::new(SATELLITE, &[]) else {
        return;
    };
    let lose = "iptables -A INPUT -m statistic --mode random --probability 0.01 -j DROP";
    net.does(|net| &net.satellite, lose);
    net.does(|net| &net.clients, lose);
    let traffic = Traffic::start(&net.sky, 30_000_000);
    traffic.end(&net.sky);
}

#[test]
fn rule_16_all_goes_on_after_a_partition() {
    let Some(mut net) = Net::new(SATELLITE, &[]) else {
        return;
    };
    let traffic = Traffic::start(&net.sky, 100_000_000);
    for (percent, seconds) in [(10, 1), (30, 4)] {
        traffic.until(percent);
        net.does(|net| &net.satellite, "ip link set wire down");
        assert!(traffic.is_under_way(), "there was nothing to part");
        let time = Duration::from_secs(seconds);
        wait::while_passes(time, "all wait for the network", || traffic.is_under_way());
        net.does(|net| &net.satellite, "ip link set wire up");
    }
    traffic.end(&net.sky);
}

#[test]
fn rule_16_a_satellite_that_moved_is_found_by_its_name() {
    let Some(mut net) = Net::new("0.0.0.0", &["--lost-listener", "8s"]) else {
        return;
    };
    let endpoint = net.sky.on_port().endpoint().to_owned();
    let port = endpoint.rsplit(':').next().expect("there is a port");
    let name = format!("tcp://sky.test:{port}");
    let leads = |net: &mut Net, address: &str| {
        net.sky.put(
            "hosts",
            format!("127.0.0.1 localhost\n{address} sky.test\n"),
        );
    };
    leads(&mut net, SATELLITE);
    net.does(|net| &net.clients, "mount --bind hosts /etc/hosts");
    net.sky.leads_to(&name);
    let listener = net.sky.skypipe(&["-r", "x"]).patient(PATIENCE).start();
    net.sky.until_listeners("x", 1);
    let writer = net
        .sky
        .skypipe(&["-w", "x"])
        .patient(PATIENCE)
        .piped()
        .start();
    writer.say("before\n");
    listener.shows("before\n");
    let moving =
        format!("ip address del {SATELLITE}/24 dev wire; ip address add {LATER}/24 dev wire");
    net.does(|net| &net.satellite, &moving);
    leads(&mut net, LATER);
    writer.say("after\n");
    listener.shows("after\n");
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed("before\nafter\n");
}

#[test]
fn rule_16_all_goes_on_through_a_slow_network_that_stands_still_and_is_cut() {
    let mut sky = Environment::sky_within(&["--data", "data"], DEADLINE);
    let wire = Relay::to(sky.on_port().endpoint());
    sky.leads_to(&wire.endpoint());
    let slow = Weather {
        delay: Duration::from_millis(40),
        ..Weather::default()
    };
    wire.weather(slow);
    let traffic = Traffic::start(&sky, 12_000_000);
    let stands = [(true, true), (true, false), (false, true)];
    for (round, (no_way_up, no_way_down)) in stands.into_iter().enumerate() {
        traffic.until(10 + 20 * round);
        wire.weather(Weather {
            no_way_up,
            no_way_down,
            ..slow
        });
        let time = Duration::from_secs(1);
        wait::while_passes(time, "all wait for the network", || traffic.is_under_way());
        wire.weather(slow);
        traffic.until(20 + 20 * round);
        wire.cut();
    }
    traffic.end(&sky);
}

#[test]
fn rule_16_a_connection_that_died_without_a_word_is_made_anew() {
    let flags = ["--data", "data", "--lost-listener", "8s"];
    let mut sky = Environment::sky_within(&flags, DEADLINE);
    let wire = Relay::to(sky.on_port().endpoint());
    let direct = sky.on_port().endpoint().to_owned();
    sky.leads_to(&wire.endpoint());
    let listener = sky.skypipe(&["-r", "x"]).patient(PATIENCE).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["-w", "x"]).patient(PATIENCE).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    // Existing connections carry nothing more; new ones are served.
    wire.silence();
    sky.leads_to(&direct);
    writer.say("after\n");
    listener.shows("after\n");
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed("before\nafter\n");
}
