//! mosquitto: MQTT, line by line, with confirmations (`QoS` 1).

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{
    Abilities, Channel, Peer, Server, free_port, is_on_path, lines_with, loopback, program,
};
use crate::shaper::{self, Line};

struct Mosquitto {
    server: Server,
    port: u16,
    /// The log, in which the server writes its subscriptions.
    log: PathBuf,
    channels: Cell<u32>,
}

pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    let Some(broker) = program("mosquitto").filter(|_| is_on_path("mosquitto_pub")) else {
        return Vec::new();
    };
    let port = free_port();
    let config = directory.join("mosquitto.conf");
    let log = directory.join("mosquitto.log");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n\
         log_dest stderr\nlog_type subscribe\n"
    );
    std::fs::write(&config, text).expect("there is room");
    let server = Server::logging(Command::new(broker).arg("-c").arg(&config), port, &log);
    vec![Box::new(Mosquitto {
        server,
        port,
        log,
        channels: Cell::default(),
    })]
}

impl Mosquitto {
    fn topic(&self, port: u16) -> Channel {
        self.channels.set(self.channels.get() + 1);
        let topic = format!("channel-{}-", self.channels.get());
        let (near, there) = (self.port, topic.clone());
        let writer = move || client("mosquitto_pub", port, &there, &["-l"]);
        let (log, listed) = (self.log.clone(), format!(" 1 {topic}"));
        let all = topic.clone();
        let reader = move || client("mosquitto_sub", near, &all, &[]);
        let readers = move || lines_with(&log, &listed);
        let mut channel = Channel::new(&[self.server.pid()], writer, reader, readers);
        let once = move || client("mosquitto_sub", near, &topic, &["-C", "1"]);
        channel.once = Box::new(once);
        channel
    }
}

impl Peer for Mosquitto {
    fn name(&self) -> &'static str {
        "mosquitto, QoS 1"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            triggers: true,
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
