//! Tests of the image with real programs: podman loads and runs it, and a real registry stores it.
//! Registries that misbehave get no password, and are not waited for beyond a limit.

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
