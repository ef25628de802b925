//! Routes to a satellite through a restrictive network: proxies, other ports, a front that
//! terminates TLS, and WebSockets. All tests use the real program.

mod front;
mod listening;
mod proxies;
mod server;
mod sky;
