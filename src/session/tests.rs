//! Sessions by themselves: what they are told, what they do, on a time of the test's own.

mod asking;
mod connection;
mod ending;
mod listening;
mod random;
mod sealed;
mod talk;
mod writing;
