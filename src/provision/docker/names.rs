//! The names of a satellite's parts on an engine.
//!
//! Owns these names. They must not change, because satellites deployed by other versions of this
//! program are found by them.

/// The label that is `1` on every object of ours.
pub const LABEL: &str = "org.skypipe.satellite";
/// The label with the version of the program.
pub const VERSION: &str = "org.skypipe.version";
/// The label with the public keys of the owner.
pub const OWNER: &str = "org.skypipe.owner";
/// The label with the port at which others reach the satellite.
pub const OUTSIDE: &str = "org.skypipe.port";
/// The label with the host at which others reach the satellite.
pub const PUBLIC: &str = "org.skypipe.public";
/// The label with the name of the image.
pub const FROM: &str = "org.skypipe.image";

/// The name of the container.
pub const CONTAINER: &str = "skypipe-satellite";
/// The name of the replaced container, until its replacement works.
pub const REPLACED: &str = "skypipe-satellite-old";
/// The name of the volume with the satellite's data.
pub const VOLUME: &str = "skypipe-satellite-data";
/// The name of the image, without registry and tag.
pub const IMAGE: &str = "skypipe-satellite";

/// The path of the program in the image.
pub const PROGRAM: &str = "/skypipe";
/// Where the volume is mounted in the container.
pub const DATA: &str = "/data";
/// The address at which the satellite listens in the container.
pub const LISTEN: &str = "0.0.0.0:9000";
/// The port of that address, as engines write it.
pub const INSIDE: &str = "9000/tcp";
