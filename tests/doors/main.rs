//! Doors: the ways to a satellite where a network lets little through. Proxies, other ports, something in
//! front of the satellite that ends TLS, and WebSockets, each against the real program.

#[path = "../common/mod.rs"]
mod common;

mod front;
mod listening;
mod proxies;
mod server;
mod sky;
