//! A network for a test, so that its ports are free and nothing leaves the machine.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network with a loopback, until this is dropped. It comes with a view of the file system in
/// which `/run` contains only the directory that sshd needs, so that there is no systemd.
#[derive(Debug)]
pub struct Network {
    keeper: Child,
}

impl Network {
    /// Makes a network and moves this thread into it. Threads and programs started after that are
    /// in it, too.
    pub fn enter() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c"])
            .arg(
                "ip link set lo up && mount -t tmpfs tmpfs /run && mkdir /run/sshd && echo ready && \
                 exec cat",
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("it is a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it can be read");
        assert_eq!(line, "ready\n");
        let network = Self { keeper };
        let place = File::open(format!("/proc/{}/ns/net", network.pid())).expect("it is alive");
        move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("tests run as root");
        network
    }

    /// The process in whose network and view of the file system programs can be started.
    pub fn pid(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
