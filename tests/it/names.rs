//! Tests of names and addresses: a satellite is found by its name whatever the host's `/etc` says,
//! and no library of the host is loaded for that.

mod debian;
mod dns;
mod helper;
mod loaded;
mod machine;
mod several;
mod spelled;
