//! Listeners and connections on loopback, according to Linux's `/proc/net/tcp`.

use std::fs;

/// Whether a process listens at this port.
pub fn is_listening(port: u16) -> bool {
    !at(port, "0A").is_empty()
}

/// How many connections to this port the server has accepted and whose data it has read.
pub fn accepted(port: u16) -> usize {
    // A connection has an inode once it has been accepted.
    let is_settled = |fields: &Vec<String>| fields[9] != "0" && fields[4].ends_with(":00000000");
    at(port, "01")
        .iter()
        .filter(|fields| is_settled(fields))
        .count()
}

/// The fields of the sockets with this local port and state.
fn at(port: u16, state: &str) -> Vec<Vec<String>> {
    let own = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .filter(|fields: &Vec<String>| fields.len() > 9 && fields[1] == own && fields[3] == state)
        .collect()
}
