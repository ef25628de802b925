//! How the C library's allocator is to behave, in a satellite and in a client. An unsafe corner: a few
//! calls.
//!
//! Both take and give back megabytes a thousand times a second, from one thread to another: libzmq takes
//! payloads in on a thread of its own, and they are let go on another. glibc would ask the system for each
//! anew and hand it back, and each time the system would clear it, page by page: sealing alone took a tenth
//! more time that way (`benches/private.rs`), and a satellite had a hundred times as many page faults. With
//! one arena for each thread, as glibc has it, what one frees the other does not use again: under a thousand
//! writers a satellite came to 145 MB at times, with a single arena never to more than 129. The threads take
//! turns at it, which nothing that was measured has noticed.

/// Lets large blocks be used again, whichever thread gave them back, at the price of some megabytes that
/// are kept. It must be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the settings have no safe interface")]
pub fn reuse_large_blocks() {
    /// More than any block has, and the most that glibc takes.
    const LARGE: i32 = 32 << 20;
    for (setting, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
    ] {
        // SAFETY: `mallopt` has no precondition but that its numbers are ones it knows, else it says
        // 0. A failure leaves things as they were, which is safe too.
        let _ = unsafe { libc::mallopt(setting, value) };
    }
}

/// Other allocators have other ways, and none of them is known to need this.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn reuse_large_blocks() {}
