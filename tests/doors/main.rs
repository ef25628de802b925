//! Routes to a satellite through a restrictive network: proxies, other ports, a front that
//! terminates TLS, and WebSockets. All tests use the real program.

#[path = "../common/mod.rs"]
mod common;

mod front;
mod listening;
mod proxies;
mod server;
mod sky;
