//! The properties of this machine that matter to a launch: its clock, and its routes.
//!
//! Owns the only clock that a launch there uses. Sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// A clock, and a look at the routes.
pub trait Env {
    /// The current time.
    fn now(&self) -> Instant;

    /// Waits for this long.
    fn sleep(&self, time: Duration);

    /// Whether this machine has a route to the address. Nothing is sent, so somebody need not be
    /// there.
    fn has_route(&self, address: IpAddr) -> bool;
}

/// The clock and the routes of this machine.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Env for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }

    /// Connecting a UDP socket makes the kernel look for a route and sends nothing, so any port
    /// will do.
    fn has_route(&self, address: IpAddr) -> bool {
        let any = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, 9)).is_ok())
    }
}
