//! What of this machine matters to a launch: its clock, and which addresses it has a route to.
//!
//! Owns the only clock of this provider. Never talks to anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// A clock, and a look at the routes.
pub trait Surroundings {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits.
    fn sleep(&self, span: Duration);

    /// Whether this machine has a route to that address. It says nothing about who is there.
    fn has_route(&self, address: IpAddr) -> bool;
}

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Here;

impl Surroundings for Here {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, span: Duration) {
        thread::sleep(span);
    }

    /// To connect a UDP socket makes the kernel look for a route and sends nothing, so any port does.
    fn has_route(&self, address: IpAddr) -> bool {
        let any = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, 9)).is_ok())
    }
}
