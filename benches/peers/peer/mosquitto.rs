//! mosquitto: MQTT, line by line, with its confirmations (`QoS` 1).

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use super::{Abilities, Channel, Peer, Server, free_port, is_on_path, loopback};
use crate::shaper::{self, Line};

struct Mosquitto {
    server: Server,
    port: u16,
    channels: Cell<u32>,
}

pub fn find(directory: &Path) -> Option<Box<dyn Peer>> {
    let broker = ["mosquitto", "/usr/sbin/mosquitto"];
    let broker = broker.into_iter().find(|name| is_on_path(name))?;
    if !is_on_path("mosquitto_pub") {
        return None;
    }
    let port = free_port();
    let config = directory.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
    );
    std::fs::write(&config, text).expect("there is room");
    let server = Server::listening(Command::new(broker).arg("-c").arg(&config), port);
    Some(Box::new(Mosquitto {
        server,
        port,
        channels: Cell::default(),
    }))
}

impl Mosquitto {
    fn topic(&self, port: u16) -> Channel {
        self.channels.set(self.channels.get() + 1);
        let topic = format!("channel-{}", self.channels.get());
        let (near, there) = (self.port, topic.clone());
        let writer = move || client("mosquitto_pub", port, &there, &["-l"]);
        let reader = move || client("mosquitto_sub", near, &topic, &[]);
        Channel::new(&[self.server.pid()], writer, reader)
    }
}

impl Peer for Mosquitto {
    fn name(&self) -> &'static str {
        "mosquitto, QoS 1"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            merges: true,
            broadcasts: true,
            ..Abilities::default()
        }
    }

    fn channel(&self) -> Channel {
        self.topic(self.port)
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        Some(self.topic(shaper::start(loopback(self.port), line)))
    }
}

fn client(name: &str, port: u16, topic: &str, more: &[&str]) -> Command {
    let mut client = Command::new(name);
    client.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-q",
        "1",
        "-t",
        topic,
    ]);
    client.args(more);
    client
}
