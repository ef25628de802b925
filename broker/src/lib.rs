//! The broker of skypipe: the whole behaviour of a satellite.
//!
//! `pipe`, `broker`, `interface`, `keys` and `v01` are pure: no socket, thread, clock, file or print. The
//! loop in `server` moves bytes between them and the one ROUTER socket. `store` keeps unread data, in memory
//! or on disk. The messages and their limits are in the crate `skypipe-protocol`, the calls to ZeroMQ and TLS
//! in `skypipe-transport`. Nothing here knows of the client, of processes or of platforms.

pub mod broker;
mod interface;
pub mod keys;
pub mod pipe;
pub mod server;
pub mod store;
pub mod v01;

use skypipe_protocol::{self as protocol, text};
use skypipe_transport::{borrowing, frame, tls};
