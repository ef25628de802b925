//! Deploying, finding and removing a remote satellite.
//!
//! The algorithm is in [`launch`], once. What differs between platforms is behind [`Host`], one file
//! a platform. `--setup` and `--reset` decide what is done ([`crate::commands`]).

mod child;
pub mod console;
pub mod docker;
pub mod finding;
pub mod fly;
pub mod host;
pub mod http;
pub mod image;
pub mod launch;
pub mod plan;
mod quote;
pub mod record;
pub mod ssh;
pub mod ssh_program;
pub mod target;

pub use self::console::{Choice, Console};
pub use self::host::{Found, Host, RunError, State};
pub use self::plan::{Existing, Plan, Program, Settings};

/// The port of a satellite unless the user or the platform names another.
pub const PORT: u16 = 9000;

/// The host as it is written before a colon and a port: an IPv6 address gets brackets.
#[must_use]
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// The size of something that is sent, in megabytes, for people.
#[must_use]
pub fn megabytes(bytes: usize) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
