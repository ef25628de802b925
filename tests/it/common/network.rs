//! A network namespace for one test, in which all ports are free and no packet leaves.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespace. It disappears with this handle and the last process in it.
pub struct Network(Child);

impl Network {
    /// Moves the calling thread into a new network namespace with its own loopback. Threads and processes
    /// that it starts from now on are in it, too.
    pub fn enter() -> Self {
        let mut child = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up && echo ready && exec cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("it says that it is ready");
        assert_eq!(ready, "ready\n");
        let network = File::open(format!("/proc/{}/ns/net", child.id())).expect("it lives");
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("this is root");
        Self(child)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // `cat` ends when its stdin is closed.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
