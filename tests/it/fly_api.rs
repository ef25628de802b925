//! Tests of satellites at Fly.io, against a small Fly.io on loopback.

mod ending;
mod executable;
mod finding;
mod launching;
mod patience;
mod person;
mod platform;
mod renewing;
mod resuming;
mod routes;
mod tokens;
