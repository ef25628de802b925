//! Signals that the starter ignored or blocked. It needs `unsafe`: the calls that change that have no safe
//! interface.
//!
//! This module resets them to those of a fresh process. (`nohup` and a shell's `trap ''` ignore signals.
//! Some programs block signals, and forget to unblock them in their children.)

use std::mem::MaybeUninit;
use std::ptr;

/// The largest signal number on any system.
const LAST: i32 = 64;

/// Unblocks every signal, and resets each to its default action. SIGPIPE stays ignored, because Rust's
/// programs ignore it and rely on that.
#[expect(unsafe_code, reason = "the calls have no safe interface")]
pub fn forget_inherited() {
    let mut none = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the whole set, which is used only after that. The last argument may
    // be null: the previous mask is not needed.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
    for signal in (1..=LAST).filter(|signal| *signal != libc::SIGPIPE) {
        if is_ignored(signal) {
            // SAFETY: the default action uses no function of this program, and nothing here handles an
            // ignored signal. A number that is no signal, or one that cannot be changed, is refused.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Whether a signal is ignored. A signal handled by this program's runtime is not.
#[expect(unsafe_code, reason = "the call has no safe interface")]
fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer asks without changing anything; the answer is read only if there is one.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
