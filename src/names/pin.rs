//! Keeps the host's name service modules out of this program. It needs one `unsafe` call.
//!
//! glibc looks names up in the services that `/etc/nsswitch.conf` lists, and loads a library for each, even
//! into a static program. Two need no library: `files` (`/etc/hosts`, `/etc/passwd` and the like) and `dns`
//! have been inside glibc since 2.34. This module tells glibc that there are no others. A test watches
//! which files are opened (`tests/it/names`).

/// Prevents the loading of modules for look-ups of any kind. Call it before the first look-up. Repeated
/// calls are harmless.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's call has no safe interface")]
pub fn pin() {
    use std::ffi::{CStr, c_char, c_int};
    use std::sync::Once;

    /// Every database but `hosts`.
    const OTHERS: [&CStr; 13] = [
        c"aliases",
        c"ethers",
        c"group",
        c"gshadow",
        c"initgroups",
        c"netgroup",
        c"networks",
        c"passwd",
        c"protocols",
        c"publickey",
        c"rpc",
        c"services",
        c"shadow",
    ];
    static PINNED: Once = Once::new();

    unsafe extern "C" {
        /// From `nss.h`: sets the services for `database`, regardless of `/etc/nsswitch.conf`.
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    let look_up = |database: &CStr, services: &CStr| {
        // SAFETY: both arguments are zero-terminated strings, which glibc copies.
        let result = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        // It fails only for unknown databases, and these are known.
        debug_assert_eq!(result, 0, "{database:?}");
    };
    PINNED.call_once(|| {
        look_up(c"hosts", c"files dns");
        for database in OTHERS {
            look_up(database, c"files");
        }
    });
}

/// Other C libraries load nothing for look-ups.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn pin() {}
