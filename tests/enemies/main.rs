//! Enemies of a private satellite: whoever watches the network, whoever owns the satellite's machine,
//! a satellite that is not what it says, and strangers by the thousand. None of them reads or changes
//! a byte unnoticed, and none of them stops those who belong there.

#[path = "../common/mod.rs"]
mod common;

mod arena;
mod boxes;
mod crashes;
mod disk;
mod dump;
mod engine;
mod liar;
mod lies;
mod memory;
mod recorder;
mod renewals;
mod strangers;
mod tampering;
mod tokens;
mod watched;
mod words;
