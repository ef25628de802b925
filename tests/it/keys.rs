//! Satellites with keys: what a key allows, as users see it and over bare sockets.
//!
//! The broker's own tests cover the satellite's decisions, and the client's own tests the sealed form.
//! These tests check both with real programs and real sockets.

mod arena;
mod beside;
mod door;
mod hoarding;
mod joining;
mod owning;
mod phrase;
mod pipes;
mod raw;
mod refused;
mod revoking;
mod table;
mod unseen;
