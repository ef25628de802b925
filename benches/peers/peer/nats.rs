//! NATS: its core, which stores nothing, and `JetStream`, which stores everything in a file.
//!
//! Its own command line is made for messages that people type. So both ends are a small client of
//! ours: this program, with other arguments.

pub mod client;

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use super::{Abilities, Channel, MUCH, Peer, Server, free_port, loopback, program};
use crate::shaper::{self, Line};

/// A server for both variants.
struct Nats {
    server: Server,
    port: u16,
    http: u16,
    channels: Cell<u32>,
}

struct Way {
    nats: Rc<Nats>,
    keeps: bool,
}

pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    let Some(program) = program("nats-server") else {
        return Vec::new();
    };
    let (port, http) = (free_port(), free_port());
    let config = directory.join("nats.conf");
    let store = directory.join("jetstream");
    // Without this, the server would send pings, and a client would have to answer in the middle of
    // its data.
    let text = format!(
        "host: 127.0.0.1\nport: {port}\nhttp: \"127.0.0.1:{http}\"\nping_interval: \"1h\"\n\
         jetstream {{ store_dir: \"{}\" }}\n",
        store.display()
    );
    std::fs::write(&config, text).expect("there is room");
    let nats = Rc::new(Nats {
        server: Server::listening(Command::new(program).arg("-c").arg(&config), port),
        port,
        http,
        channels: Cell::default(),
    });
    let way = |keeps| {
        let nats = Rc::clone(&nats);
        Box::new(Way { nats, keeps }) as Box<dyn Peer>
    };
    vec![way(false), way(true)]
}

impl Way {
    fn subject(&self, far: u16) -> Channel {
        let nats = &self.nats;
        nats.channels.set(nats.channels.get() + 1);
        let subject = format!("channel-{}", nats.channels.get());
        let (near, http) = (nats.port, nats.http);
        let words = if self.keeps {
            ["publish-kept", "subscribe-kept"]
        } else {
            ["publish", "subscribe"]
        };
        let [publish, subscribe] = words;
        let listed = if self.keeps {
            format!("\"{}", client::inbox(&subject))
        } else {
            format!("\"{subject}\"")
        };
        let (to, from) = (subject.clone(), subject.clone());
        let writer = move || client::command(publish, far, &to, None);
        let reader = move |count| client::command(subscribe, near, &from, count);
        let first = reader.clone();
        let mut channel = Channel::new(
            &[nats.server.pid()],
            writer,
            move || reader(None),
            move || subscriptions(http, &listed),
        );
        channel.once = Box::new(move || first(Some(1)));
        if self.keeps {
            let stream = client::Stream::create(nats.port, &subject);
            channel.own.push(Box::new(stream.expect("JetStream is on")));
        }
        channel
    }
}

impl Peer for Way {
    fn name(&self) -> &'static str {
        if self.keeps {
            "NATS JetStream, file"
        } else {
            "NATS core"
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            triggers: true,
            keeps: if self.keeps { MUCH } else { 0 },
            merges: true,
            broadcasts: true,
            takes_bytes: true,
        }
    }

    fn channel(&self) -> Channel {
        self.subject(self.nats.port)
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        Some(self.subject(shaper::start(loopback(self.nats.port), line)))
    }
}

/// How many subscriptions of the server have names that begin like this, with a quotation mark in
/// front.
fn subscriptions(http: u16, start: &str) -> usize {
    let list = ureq::get(format!("http://127.0.0.1:{http}/connz?subs=1")).call();
    let list = list.and_then(|mut list| list.body_mut().read_to_string());
    list.map_or(0, |list| list.matches(start).count())
}
