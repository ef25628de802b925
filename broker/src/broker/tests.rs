//! Tests of the broker alone: what peers say and what they are told, with a clock set by the test.

mod budget;
mod failing;
mod handshake;
mod keys;
mod limits;
mod pen;
mod queries;
mod random;
mod shares;
mod story;
mod streams;
mod subscriptions;
mod timeouts;
mod v01;
mod words;
mod work;
