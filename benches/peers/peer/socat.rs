//! socat: a simple relay between a sender and a receiver, unencrypted and with TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Abilities, Channel, Peer, Server, free_port, is_on_path, loopback};
use crate::shaper::{self, Line};
use crate::sockets;

struct Socat {
    /// The certificate for TLS on both hops.
    certificate: Option<PathBuf>,
}

pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    if !is_on_path("socat") {
        return Vec::new();
    }
    let mut all: Vec<Box<dyn Peer>> = vec![Box::new(Socat { certificate: None })];
    if is_on_path("openssl") {
        let certificate = Some(certificate(directory));
        all.push(Box::new(Socat { certificate }));
    }
    all
}

impl Socat {
    fn listen(&self, port: u16) -> String {
        match &self.certificate {
            None => format!("TCP-LISTEN:{port},bind=127.0.0.1,nodelay"),
            Some(place) => {
                let place = place.display();
                format!("OPENSSL-LISTEN:{port},bind=127.0.0.1,cert={place},verify=0,nodelay")
            }
        }
    }

    fn connect(&self, port: u16) -> String {
        let retry = "retry=200,interval=0.01,nodelay";
        match &self.certificate {
            None => format!("TCP:127.0.0.1:{port},{retry}"),
            Some(_) => format!("OPENSSL:127.0.0.1:{port},verify=0,{retry}"),
        }
    }

    fn relay(&self, line: Option<Line>) -> Channel {
        let (left, right) = (free_port(), free_port());
        // The relay first accepts the reader, and then listens for the writer.
        let mut relay = Command::new("socat");
        relay.args(["-U", BLOCKS]);
        let own = Server::start(relay.args([self.listen(right), self.listen(left)]));
        let readers = move || usize::from(sockets::is_listening(left));
        let far = line.map_or(left, |line| shaper::start(loopback(left), line));
        let (to, from) = (self.connect(far), self.connect(right));
        let writer = move || command(["STDIN", &to]);
        let reader = move || command([&from, "STDOUT"]);
        let mut channel = Channel::new(&[own.pid()], writer, reader, readers);
        channel.own.push(Box::new(own));
        channel
    }
}

impl Peer for Socat {
    fn name(&self) -> &'static str {
        match self.certificate {
            None => "socat, two hops",
            Some(_) => "socat, two hops, TLS",
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            triggers: true,
            takes_bytes: true,
            ..Abilities::default()
        }
    }

    fn channel(&self) -> Channel {
        self.relay(None)
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        Some(self.relay(Some(line)))
    }
}

/// 256 KiB at a time.
const BLOCKS: &str = "-b262144";

/// A socat in one direction.
fn command(addresses: [&str; 2]) -> Command {
    let mut socat = Command::new("socat");
    socat.args(["-u", BLOCKS]).args(addresses);
    socat
}

/// A certificate and its key, in one file.
fn certificate(directory: &Path) -> PathBuf {
    let (key, both) = (directory.join("key.pem"), directory.join("both.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args(["-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout"]);
    openssl
        .arg(&key)
        .arg("-out")
        .arg(&both)
        .stderr(Stdio::null());
    assert!(
        openssl.status().is_ok_and(|status| status.success()),
        "openssl makes a certificate"
    );
    let mut text = std::fs::read(&both).expect("a certificate");
    text.extend(std::fs::read(&key).expect("a key"));
    std::fs::write(&both, text).expect("there is room");
    both
}
