//! No module of the host is loaded into this program. An unsafe corner: one call.
//!
//! glibc looks names up in what `/etc/nsswitch.conf` lists, and loads a library for each entry, even
//! into a static program. Two need no library: `files` (`/etc/hosts`, `/etc/passwd` and their like) and
//! `dns` are inside glibc since 2.34. Here glibc is told that there are no others. A test watches which
//! files are opened (`tests/names`).

/// Keeps this program from loading anything for look-ups of whatever kind. It is to be called before
/// anything is looked up, and may be called again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's call has no safe interface")]
pub fn pin() {
    use std::ffi::{CStr, c_char, c_int};
    use std::sync::Once;

    /// All that can be looked up, but hosts.
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
        /// From `nss.h`: where `database` is looked up from now on, whatever `/etc/nsswitch.conf` says.
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    let look_up = |database: &CStr, services: &CStr| {
        // SAFETY: both are texts with a zero at the end, which glibc copies.
        let result = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        // It fails for names that it does not know, and these it does.
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
