//! The broker by itself: what peers say to it and what they hear, on a time of the test's own.

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
