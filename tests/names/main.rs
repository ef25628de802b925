//! Names and addresses: how a satellite is found by them, whatever the host's `/etc` says, and that
//! nothing of the host's is loaded for it.

#[path = "../common/mod.rs"]
mod common;

mod debian;
mod dns;
mod helper;
mod loaded;
mod machine;
mod several;
mod spelled;
