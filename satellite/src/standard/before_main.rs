//! Checks descriptors 0, 1 and 2 before Rust's runtime opens `/dev/null` in place of those that are
//! closed. This module has unsafe code: a function that the system's loader calls before `main`.
//!
//! ELF programs list such functions in the section `.init_array`, programs of Apple's systems in
//! `__mod_init_func`. On other systems the function is never called, and all three descriptors
//! count as open.

use std::sync::atomic::{AtomicU8, Ordering};

/// Bit n is set if descriptor n was open.
static OPEN: AtomicU8 = AtomicU8::new(0b111);

// SAFETY: a section with this name holds pointers to functions of the C ABI, and this function is
// one. It is called once, before there is a second thread. It must not rely on Rust's runtime,
// which has not started. It does not: it makes three system calls and writes one atomic.
#[used]
#[cfg_attr(
    target_vendor = "apple",
    expect(unsafe_code, reason = "the loader calls it"),
    unsafe(link_section = "__DATA,__mod_init_func")
)]
#[cfg_attr(
    not(target_vendor = "apple"),
    expect(unsafe_code, reason = "the loader calls it"),
    unsafe(link_section = ".init_array")
)]
static LOOK: extern "C" fn() = look;

#[expect(
    unsafe_code,
    reason = "no safe call asks for a descriptor that may be closed"
)]
extern "C" fn look() {
    let is_open = |fd: &i32| {
        // SAFETY: the call reads the flags of a descriptor, and reports an error if there is no
        // such descriptor.
        unsafe { libc::fcntl(*fd, libc::F_GETFD) != -1 }
    };
    let open = (0..3).filter(is_open).fold(0, |open, fd| open | 1 << fd);
    OPEN.store(open, Ordering::Relaxed);
}

/// Whether this descriptor (0, 1 or 2) was open when the program started.
pub(super) fn was_open(fd: u8) -> bool {
    OPEN.load(Ordering::Relaxed) >> fd & 1 == 1
}
