//! Tests of satellites at Fly.io, against a small Fly.io on loopback.

#[path = "common/mod.rs"]
mod common;

mod fly_api {
    pub mod executable;
    pub mod person;
    pub mod platform;

    mod ending;
    mod finding;
    mod launching;
    mod patience;
    mod renewing;
    mod resuming;
    mod routes;
    mod tokens;
}

use fly_api::{executable, person, platform};
