//! Tests of the image with real programs: podman loads and runs it, and a real registry stores it.
//! Registries that misbehave get no password, and are not waited for beyond a limit.

mod container;
mod odd;
mod real;
mod server;

use crate::common::{network, parts};
