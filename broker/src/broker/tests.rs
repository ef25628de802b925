//! Tests of the broker alone: what peers say and what they are told, with a clock set by the test.

mod asking;
mod credit;
mod failing;
mod handshake;
mod keys;
mod limits;
mod listening;
mod losing;
mod old;
mod pen;
mod random;
mod shares;
mod story;
mod words;
mod work;
mod writing;
