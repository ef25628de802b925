//! How the C library's allocator is to behave in a satellite. An unsafe corner: one call.
//!
//! libzmq takes payloads in on a thread of its own, and the broker lets them go on another. With one
//! arena for each thread, as glibc has it, what one frees the other does not use again: under a
//! thousand writers the process came to 145 MB at times, with a single arena never to more than 129.
//! The threads take turns at it, which nothing that was measured has noticed, for they allocate a few
//! thousand times a second.

/// Lets all threads share one arena. It must be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the setting has no safe interface")]
pub(crate) fn share_one_arena() {
    // SAFETY: `mallopt` has no precondition but that its numbers are ones it knows, else it says 0.
    // A failure leaves things as they were, which is safe too.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other allocators have other ways, and none of them is known to need this.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_one_arena() {}
