//! The broker of skypipe: its protocol and the satellite's whole behaviour.
//!
//! `protocol`, `interface`, `v01`, `pipe`, `broker`, `store` and `text` are pure: no socket, thread, clock, file or print. The
//! loop in `server` moves bytes between them and the one ROUTER socket, with `frame`, `borrowing` and
//! `tls::layer` as its unsafe corners. Nothing here knows of the client, of processes or of platforms.

pub mod broker;
pub mod interface;
pub mod keys;
pub mod pipe;
pub mod server;
pub mod store;
pub mod v01;

use skypipe_protocol::{self as protocol, text};
use skypipe_transport::{borrowing, frame, tls};
