//! `ncat --broker`: every client gets what any client sends.

use std::path::Path;
use std::process::Command;

use super::{Abilities, Channel, Peer, Server, free_port, is_on_path, loopback};
use crate::shaper::{self, Line};
use crate::sockets;

struct Ncat;

pub fn all(_: &Path) -> Vec<Box<dyn Peer>> {
    let found = is_on_path("ncat").then(|| Box::new(Ncat) as Box<dyn Peer>);
    found.into_iter().collect()
}

impl Ncat {
    fn broker(line: Option<Line>) -> Channel {
        let port = free_port();
        let mut broker = Command::new("ncat");
        broker.args(["--broker", "--listen", "127.0.0.1", &port.to_string()]);
        let own = Server::listening(&mut broker, port);
        let far = line.map_or(port, |line| shaper::start(loopback(port), line));
        let writer = move || ncat("--send-only", far);
        let reader = move || ncat("--recv-only", port);
        let readers = move || sockets::accepted(port);
        let mut channel = Channel::new(&[own.pid()], writer, reader, readers);
        channel.own.push(Box::new(own));
        channel
    }
}

impl Peer for Ncat {
    fn name(&self) -> &'static str {
        "ncat --broker"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            merges: true,
            broadcasts: true,
            takes_bytes: true,
            ..Abilities::default()
        }
    }

    fn channel(&self) -> Channel {
        Self::broker(None)
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        Some(Self::broker(Some(line)))
    }
}

fn ncat(direction: &str, port: u16) -> Command {
    let mut ncat = Command::new("ncat");
    ncat.args([direction, "127.0.0.1", &port.to_string()]);
    ncat
}
