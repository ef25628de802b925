//! The image as real parts take it: podman loads and runs it, a real registry stores it, and registries that
//! misbehave get no password and no patience beyond bounds.

#[path = "common/mod.rs"]
mod common;
#[path = "image/container.rs"]
mod container;
#[path = "image/odd.rs"]
mod odd;
#[path = "image/real.rs"]
mod real;
#[path = "image/server.rs"]
mod server;

use common::{network, parts};
