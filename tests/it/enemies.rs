//! Attackers of a satellite with keys: observers of the network, the owner of the satellite's machine, a
//! dishonest satellite, and strangers by the thousand. None of them reads a byte, or changes one unnoticed,
//! and none of them stops the members.

mod arena;
mod crashes;
mod disk;
mod dump;
mod engine;
mod liar;
mod lies;
mod memory;
mod renewals;
mod sealed_keyring;
mod strangers;
mod tampering;
mod tokens;
mod watched;
mod words;
