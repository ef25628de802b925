//! The only layer of the image.
//!
//! Owns its bytes, as a tar and compressed. The bytes do not depend on this machine, its clock or
//! its user.

use std::io::Write;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The value of the operating system byte in gzip's header that names no system (RFC 1952, section
/// 2.3).
const NO_SYSTEM: u8 = 255;

/// A tar that holds the program as `skypipe`.
pub fn tar(executable: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::with_capacity(executable.len() + (4 << 10)));
    append(&mut builder, "skypipe", 0o755, executable);
    finish(builder)
}

/// Appends a file that belongs to root and has the time stamp 0.
pub fn append(builder: &mut Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    builder
        .append_data(&mut header, path, bytes)
        .expect("memory takes all that is written, and the paths are short");
}

/// Finishes a tar, and returns its bytes.
pub fn finish(builder: Builder<Vec<u8>>) -> Vec<u8> {
    builder
        .into_inner()
        .expect("memory takes all that is written")
}

/// The bytes, compressed with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(NO_SYSTEM)
        .write(Vec::new(), Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("memory takes all that is written")
}
