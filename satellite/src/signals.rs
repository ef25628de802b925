//! Signals that stop a satellite, as a descriptor that becomes readable.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// A descriptor that becomes readable at the first SIGTERM, SIGINT or SIGHUP. A signal that the
/// process was started to ignore (`nohup`, a shell's `&`) stays ignored, except SIGTERM.
///
/// A byte written to the other descriptor makes this one readable, too.
///
/// # Errors
///
/// When the system gives no descriptors.
pub(crate) fn stop_descriptor() -> io::Result<(OwnedFd, UnixStream)> {
    let ignored = fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
    let (reader, writer) = UnixStream::pair()?;
    for signal in [SIGINT, SIGHUP] {
        if ignored >> (signal - 1) & 1 == 0 {
            pipe::register(signal, writer.try_clone()?)?;
        }
    }
    pipe::register(SIGTERM, writer.try_clone()?)?;
    Ok((reader.into(), writer))
}

/// Lets a write fail, as on a full disk, when a file reaches the process's limit of file size. By
/// default the signal SIGXFSZ would end the process.
///
/// # Errors
///
/// When the system refuses.
pub(crate) fn survive_file_limit() -> io::Result<()> {
    // This handler sets a flag that nobody reads. The write then fails with an error.
    flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// The mask of ignored signals, parsed from Linux's `/proc/PID/status`; 0 if the text has no such
/// line. Signal n is bit n - 1 (`man proc_pid_status`).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001001\nSigCgt:\t2\n";
        assert_eq!(ignored(status), 0x1001);
        assert_eq!(ignored(status) >> (SIGHUP - 1) & 1, 1);
        assert_eq!(ignored(status) >> (SIGINT - 1) & 1, 0);
        assert_eq!(ignored("nothing"), 0);
    }
}
