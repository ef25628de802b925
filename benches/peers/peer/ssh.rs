//! ssh: both ends log in to the same host, which has a FIFO between them. The host is this machine.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Abilities, Channel, Peer, Server, free_port, is_on_path, loopback, program};
use crate::shaper::{self, Line};
use crate::usage;

struct Ssh {
    server: Server,
    directory: PathBuf,
    port: u16,
    channels: Cell<u32>,
}

pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    let Some(sshd) = program("sshd").filter(|_| is_on_path("ssh") && is_on_path("ssh-keygen"))
    else {
        return Vec::new();
    };
    let directory = directory.join("ssh");
    fs::create_dir_all(&directory).expect("there is room");
    let port = free_port();
    configure(&directory, port);
    // sshd separates its privileges in a directory that is missing on a system without a running
    // sshd.
    let _ = fs::create_dir_all("/run/sshd");
    let mut sshd = Command::new(sshd);
    sshd.args(["-D", "-e", "-f"]).arg(directory.join("sshd"));
    let server = Server::listening(&mut sshd, port);
    let channels = Cell::default();
    vec![Box::new(Ssh {
        server,
        directory,
        port,
        channels,
    })]
}

/// Makes the keys, and the configuration of both sides.
fn configure(directory: &Path, port: u16) {
    let at = |name: &str| directory.join(name).display().to_string();
    for name in ["host", "user"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(name)]);
        let status = keygen.stdin(Stdio::null()).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "ssh-keygen makes a key"
        );
    }
    let write = |name: &str, text: &str| fs::write(at(name), text).expect("there is room");
    let key = fs::read_to_string(at("host.pub")).expect("it was made");
    write("known", &format!("sky {key}"));
    write(
        "sshd",
        &format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 200\n",
            at("host"),
            at("user.pub")
        ),
    );
    write(
        "config",
        &format!(
            "Host sky\n HostName 127.0.0.1\n HostKeyAlias sky\n IdentityFile {}\n IdentitiesOnly yes\n \
             IdentityAgent none\n UserKnownHostsFile {}\n GlobalKnownHostsFile none\n \
             StrictHostKeyChecking yes\n LogLevel ERROR\n",
            at("user"),
            at("known")
        ),
    );
}

impl Ssh {
    fn fifo(&self, far: u16) -> Channel {
        self.channels.set(self.channels.get() + 1);
        let fifo = self.directory.join(format!("fifo-{}", self.channels.get()));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU)
            .expect("there is room");
        let fifo = fifo.display().to_string();
        let (config, near) = (self.directory.join("config"), self.port);
        let (put, get) = (format!("exec cat > {fifo}"), format!("exec cat {fifo}"));
        let to = config.clone();
        let server = self.server.pid();
        Channel::new(
            &[server],
            move || ssh(&to, far, &put),
            move || ssh(&config, near, &get),
            move || readers(server, &fifo),
        )
    }
}

impl Peer for Ssh {
    fn name(&self) -> &'static str {
        "ssh, FIFO on the host"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            triggers: true,
            takes_bytes: true,
            ..Abilities::default()
        }
    }

    fn channel(&self) -> Channel {
        self.fifo(self.port)
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        Some(self.fifo(shaper::start(loopback(self.port), line)))
    }
}

fn ssh(config: &Path, port: u16, remote: &str) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config);
    ssh.args(["-p", &port.to_string(), "sky", remote]);
    ssh
}

/// How many of a process and its children are `cat FIFO` and wait for it.
fn readers(pid: u32, fifo: &str) -> usize {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_reader = words == format!("cat\0{fifo}\0").as_bytes() && is_asleep(pid);
    let children = usage::children(pid);
    usize::from(is_reader)
        + children
            .iter()
            .map(|pid| readers(*pid, fifo))
            .sum::<usize>()
}

fn is_asleep(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, fields)| fields.starts_with('S'))
}
