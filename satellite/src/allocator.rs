//! Settings of the C library's allocator, for a satellite and for a client. This module has unsafe
//! code: a few calls.
//!
//! Both processes allocate and free megabytes a thousand times a second, on different threads:
//! libzmq receives payloads on its own thread, and another thread frees them. By default glibc
//! requests each block from the system and returns it, and the system clears each block page by
//! page. That made sealing a tenth slower (`benches/private.rs`) and gave a satellite a hundred
//! times as many page faults. By default each thread also has an arena, and one thread does not
//! reuse what another freed: under a thousand writers a satellite reached 145 MB at times. With a
//! single arena it never exceeded 129 MB. The threads then share one lock, and no measurement has
//! shown a cost of that.

/// Keeps large blocks for reuse by any thread, at the price of some megabytes that stay allocated.
/// The caller must call this before it starts a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the settings have no safe interface")]
pub fn reuse_large_blocks() {
    /// More than the size of any block, and the most that glibc accepts, in bytes.
    const LARGE: i32 = 32 << 20;
    for (setting, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
    ] {
        // SAFETY: `mallopt` has no precondition. It returns 0 for a setting that it does not know.
        // A failure changes nothing, which is safe too.
        let _ = unsafe { libc::mallopt(setting, value) };
    }
}

/// Does nothing: other allocators behave differently, and none of them is known to need this.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn reuse_large_blocks() {}
