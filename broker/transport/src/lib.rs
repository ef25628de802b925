//! ZeroMQ as both the client and the satellite use it.
//!
//! Owns the calls that the `zmq` crate lacks ([`frame`]), the loan of ZeroMQ's own connections to one thread
//! ([`borrowing`]), and TLS 1.3 below ZeroMQ ([`tls`]). `frame`, `borrowing` and `tls::layer` have unsafe code;
//! each says why it is sound. Nothing here knows what a message means.

pub mod borrowing;
pub mod frame;
pub mod tls;
