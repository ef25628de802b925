//! Signals that whoever started this program ignored or blocked. An unsafe corner: the calls that change
//! that have no safe interface.
//!
//! Owns the way back to what a fresh process has. (`nohup` and a shell's `trap ''` ignore; some programs
//! block, and forget to stop that in what they start.)

use std::mem::MaybeUninit;
use std::ptr;

/// The largest number of a signal on any system.
const LAST: i32 = 64;

/// Lets every signal through, and has each do what it does by default. Rust's own programs ignore SIGPIPE,
/// and rely on that: it stays as it is.
#[expect(unsafe_code, reason = "the calls have no safe interface")]
pub fn forget_inherited() {
    let mut none = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` writes a whole set, and the set is used after that alone. The last argument
    // may be null, and says that nobody wants to know the mask before.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
    for signal in (1..=LAST).filter(|signal| *signal != libc::SIGPIPE) {
        if is_ignored(signal) {
            // SAFETY: the default takes no function of this program, and nothing here handles an ignored
            // signal. A number that is no signal, or one that cannot be changed, is refused.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Whether a signal is ignored; one that is handled by this program's runtime is not.
#[expect(unsafe_code, reason = "the call has no safe interface")]
fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer asks without changing anything; the answer is read only if there is one.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
