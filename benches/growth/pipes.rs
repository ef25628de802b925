//! Pipes with an unread line each.

use skypipe_protocol::How;
use uuid::Uuid;

use super::client::{Client, Door};

/// How many lines are on their way at once.
const AT_ONCE: usize = 500;

const LINE: &[u8] = b"line\n";

/// Writes a line into each of this many pipes.
pub fn fill(satellite: &str, pipes: usize) {
    let context = zmq::Context::new();
    let mut client = Client::new(&Door::of(satellite), &context);
    client.hello();
    for number in 0..pipes {
        let stream = Uuid::new_v4();
        client.open(stream, &format!("pipe {number}"));
        client.data(stream, 0, LINE);
        client.finish(stream, LINE.len() as u64, How::End);
        if (number + 1).is_multiple_of(AT_ONCE) {
            client.hear_until(|client| client.finished == number + 1);
        }
    }
    client.hear_until(|client| client.finished == pipes);
    // The satellite has forgotten the writers when it answers this.
    client.ping();
    client.hear_until(|client| client.pongs == client.pings);
}
