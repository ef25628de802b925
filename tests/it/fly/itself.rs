//! Tests of the stand-in itself, with plain requests.

mod accounts;
mod lives;
mod resources;
mod strict;
