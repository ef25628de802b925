//! The image as real parts take it: podman loads and runs it, a real registry stores it, and registries that
//! misbehave get no password and no patience beyond bounds.

#[path = "image/container.rs"]
mod container;
#[path = "common/network.rs"]
mod network;
#[path = "image/odd.rs"]
mod odd;
#[path = "common/parts.rs"]
mod parts;
#[path = "image/real.rs"]
mod real;
#[path = "image/server.rs"]
mod server;
