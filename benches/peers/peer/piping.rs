//! piping-server, with curl on both sides. Whichever side comes first waits for the other.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Abilities, Channel, Peer, Server, free_port, is_on_path, lines_with, loopback};
use crate::shaper::{self, Line};

struct Piping {
    server: Server,
    port: u16,
    /// The log, in which the server writes its requests.
    log: PathBuf,
    channels: Cell<u32>,
}

pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    if !is_on_path("piping-server") || !is_on_path("curl") {
        return Vec::new();
    }
    let port = free_port();
    let mut server = Command::new("piping-server");
    server.args(["--host", "127.0.0.1", "--http-port", &port.to_string()]);
    let log = directory.join("piping.log");
    let server = Server::logging(&mut server, port, &log);
    vec![Box::new(Piping {
        server,
        port,
        log,
        channels: Cell::default(),
    })]
}

impl Piping {
    fn path(&self, port: u16) -> Channel {
        self.channels.set(self.channels.get() + 1);
        let path = format!("channel-{}", self.channels.get());
        let to = format!("http://127.0.0.1:{port}/{path}");
        let from = format!("http://127.0.0.1:{}/{path}", self.port);
        let writer = move || curl(&["-T", "-", &to]);
        let reader = move || curl(&["-N", &from]);
        let (log, listed) = (self.log.clone(), format!("GET /{path} "));
        let readers = move || lines_with(&log, &listed);
        Channel::new(&[self.server.pid()], writer, reader, readers)
    }
}

impl Peer for Piping {
    fn name(&self) -> &'static str {
        "piping-server"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            triggers: true,
            takes_bytes: true,
            ..Abilities::default()
        }
    }

    fn channel(&self) -> Channel {
        self.path(self.port)
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        Some(self.path(shaper::start(loopback(self.port), line)))
    }
}

fn curl(args: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.arg("-s").args(args);
    curl
}
