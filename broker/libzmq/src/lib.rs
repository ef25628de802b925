//! How libzmq is built: version 4.3.5 with CURVE by libsodium and with its draft calls, all from
//! source, by cargo alone.
//!
//! `zmq-sys` 0.12 builds libzmq 4.3.4 without CURVE through `zeromq-src` 0.2. This crate stands in
//! for that one by a `[patch.crates-io]` of the workspace, offers the three calls that zmq-sys's
//! build script makes, and passes them on to the current `zeromq-src`. It never holds code of
//! libzmq, and nothing but that build script uses it.
//!
//! The draft calls are those that libzmq's authors do not promise to keep. Two are needed, both in
//! `skypipe_broker::frame`: a ROUTER's notice that a peer has gone (`ZMQ_ROUTER_NOTIFY`), and the
//! question whether one is still there (`zmq_socket_get_peer_state`). As the version is fixed here,
//! they cannot go away unnoticed.

// Linked so that cargo builds libsodium before this crate's own build script runs.
use libsodium_sys as _;

/// A build of libzmq, as zmq-sys's build script asks for it.
#[derive(Debug, Default)]
pub struct Build;

impl Build {
    /// A build with CURVE and the draft calls.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Takes zmq-sys's choice of a libsodium, of which there is none: this crate brings its own.
    #[must_use]
    pub fn with_libsodium(&mut self, _none: Option<()>) -> &mut Self {
        self
    }

    /// Builds libzmq and prints what cargo needs to link it.
    ///
    /// # Panics
    ///
    /// When the C++ compiler fails; cargo then shows its output.
    pub fn build(&mut self) {
        let sodium = real::LibLocation::new(env!("DEP_SODIUM_LIB"), env!("DEP_SODIUM_INCLUDE"));
        real::Build::new()
            .with_libsodium(Some(sodium))
            .enable_draft(true)
            .build();
    }
}
