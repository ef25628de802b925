//! Clients that are not our own program, over real sockets: clients of SKYPIPE/0.1, and hostile ones.
//!
//! The broker's own tests cover the satellite's decisions. These tests check that it makes them on a real
//! socket, at full speed, and goes on serving everybody else.

mod both;
mod gone;
mod hostile;
pub mod new;
mod old;
mod originals;

/// Lines that contain their writer and number.
fn lines(name: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|line| format!("{name} {line}\n").into_bytes())
        .collect()
}
