//! Random bytes from the system, without a panic where there are none.
//!
//! The kernel's call comes first, because a bare root directory has no `/dev/urandom`. That file
//! comes second, for kernels and sandboxes without the call. A program calls [`look`] at its start.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use uuid::Uuid;

/// Fills `bytes` with random bytes.
///
/// # Errors
///
/// When the system has neither the call nor the file.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(count) => rest = &mut rest[count..],
            Err(Errno::INTR) => {}
            Err(_) => return File::open("/dev/urandom")?.read_exact(rest),
        }
    }
    Ok(())
}

/// Checks whether the system gives random bytes.
///
/// # Errors
///
/// When it gives none. The error is the sentence to exit with.
pub fn look() -> Result<(), String> {
    fill(&mut [0; 16]).map_err(|error| format!("the system provides no randomness: {error}"))
}

/// A random UUID.
///
/// # Panics
///
/// When the system gives no random bytes, although it did at the start.
#[must_use]
pub fn uuid() -> Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes).expect("the system gave randomness at the start");
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_equal() {
        assert_eq!(look(), Ok(()));
        let (first, second) = (uuid(), uuid());
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 4);
    }
}
