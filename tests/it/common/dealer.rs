//! Bare DEALER sockets, for clients that are not our program.

use std::sync::LazyLock;

use super::wait::PATIENCE;

/// The context of all sockets of the tests. It is never destroyed, so that a dropped socket still sends
/// what was queued.
pub static CONTEXT: LazyLock<zmq::Context> = LazyLock::new(zmq::Context::new);

/// A DEALER that is connected to a satellite, or connecting.
pub fn dealer(endpoint: &str) -> zmq::Socket {
    let socket = CONTEXT.socket(zmq::DEALER).expect("there are sockets left");
    let patience = PATIENCE.as_millis().try_into().expect("it is short");
    socket.set_rcvtimeo(patience).expect("it is a time");
    socket.set_sndtimeo(patience).expect("it is a time");
    socket.connect(endpoint).expect("it is an endpoint");
    socket
}
