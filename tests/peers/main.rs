//! Peers that are not our own program, over real sockets: clients of SKYPIPE/0.1, and whoever means
//! no good.
//!
//! What the satellite decides is held by the broker's own tests; these hold that it does so on a real
//! socket, at full speed, and goes on to serve everybody else.

#[path = "../common/mod.rs"]
mod common;

mod both;
mod gone;
mod hostile;
mod new;
mod old;
mod originals;

/// Lines that tell who wrote them and which they are.
fn lines(name: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|line| format!("{name} {line}\n").into_bytes())
        .collect()
}
