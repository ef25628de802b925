//! Programs from Debian packages that some tests need.

use std::path::Path;
use std::sync::LazyLock;

/// The programs, and their packages.
const TOOLS: [(&str, &str); 15] = [
    ("podman", "podman"),
    ("runc", "runc"),
    ("conmon", "conmon"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("busybox", "busybox-static"),
    ("fish", "fish"),
    ("csh", "tcsh"),
    ("zsh", "zsh"),
    ("systemd-analyze", "systemd"),
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
];

/// The directories where Debian installs programs.
const PLACES: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];

static MISSING: LazyLock<Option<String>> = LazyLock::new(|| {
    let is_there = |tool: &str| {
        PLACES
            .iter()
            .any(|place| Path::new(place).join(tool).exists())
    };
    let missing = TOOLS.iter().find(|(tool, _)| !is_there(tool));
    match missing {
        Some((tool, package)) => Some(format!("{tool} is not there: apt-get install {package}")),
        None if !rustix::process::geteuid().is_root() => {
            Some("networks and containers of a test's own need root".to_owned())
        }
        None => None,
    }
});

/// Whether all are installed. Otherwise the test reports what is missing and is skipped. If
/// `SKYPIPE_NO_SKIP` is set, as in the review of a change, the test fails instead.
#[must_use]
pub fn are_there() -> bool {
    MISSING.as_deref().is_none_or(do_without)
}

/// Reports what is missing, as above. Always returns `false`.
#[must_use]
pub fn do_without(missing: &str) -> bool {
    assert!(std::env::var_os("SKYPIPE_NO_SKIP").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
    false
}
