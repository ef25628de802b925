//! What a satellite's parts are called on an engine.
//!
//! Owns these names. What another version of this program has deployed is found by them, so they stay.

/// The label that says `1` on all that is ours.
pub const LABEL: &str = "org.skypipe.satellite";
/// The label with the version of the program.
pub const VERSION: &str = "org.skypipe.version";
/// The label with the public halves of the founder's keys.
pub const FOUNDER: &str = "org.skypipe.founder";
/// The label with the port from outside.
pub const OUTSIDE: &str = "org.skypipe.port";
/// The label with the host from outside.
pub const PUBLIC: &str = "org.skypipe.public";
/// The label with the name of the image.
pub const FROM: &str = "org.skypipe.image";

/// The container.
pub const CONTAINER: &str = "skypipe-satellite";
/// The container that is replaced, until the one in its place runs.
pub const REPLACED: &str = "skypipe-satellite-old";
/// The volume with the satellite's data.
pub const VOLUME: &str = "skypipe-satellite-data";
/// The image, without what stands before it and after it.
pub const IMAGE: &str = "skypipe-satellite";

/// The program in the image.
pub const PROGRAM: &str = "/skypipe";
/// Where the volume is in the container.
pub const DATA: &str = "/data";
/// Where the satellite listens in the container.
pub const LISTEN: &str = "0.0.0.0:9000";
/// The port of that, in the words of the Engine API.
pub const INSIDE: &str = "9000/tcp";
