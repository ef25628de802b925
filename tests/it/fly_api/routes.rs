//! Tests of whether this machine has a route, in the test's own network.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use skypipe::provision::fly::{Env, System};

/// A network that has only what `setup` adds to it. It lasts as long as the child process.
struct Network(Child);

impl Network {
    fn start(setup: &str) -> Self {
        let script = format!("ip link set lo up; {setup}; echo ready; exec cat");
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", &script]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a network");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn has_route(&self, address: IpAddr) -> bool {
        let path = format!("/proc/{}/ns/net", self.0.id());
        let inside = thread::spawn(move || {
            let network = File::open(path).expect("the network");
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("a move");
            System.has_route(address)
        });
        inside.join().expect("an answer")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_route_is_there_or_not() {
    let far = IpAddr::V6(Ipv6Addr::new(0x2a09, 0x8280, 1, 0, 0, 0, 0, 1));
    let without = Network::start("true");
    assert!(without.has_route(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert!(without.has_route(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert!(!without.has_route(far));
    assert!(!without.has_route(IpAddr::V4(Ipv4Addr::new(137, 66, 0, 1))));
    let with = Network::start("ip addr add 2001:db8::2/64 dev lo; ip -6 route add default dev lo");
    assert!(with.has_route(far));
}
