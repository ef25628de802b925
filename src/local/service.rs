//! Whether this program runs inside a systemd service, whose end kills everything in it.
//!
//! This module reads `/proc/self/cgroup`. It never changes anything.

use std::fs;

/// Services whose end does not kill what was started in them: the user's own manager, which ends with the
/// session, and services with `KillMode=process`, such as cron's.
const HARMLESS: [&str; 6] = [
    "user@",
    "cron.service",
    "crond.service",
    "cronie.service",
    "ssh.service",
    "sshd.service",
];

/// The service that this program belongs to, if that service's end would kill processes started here.
pub fn service() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    service_in(&groups).map(str::to_owned)
}

/// `groups` has a line `0::PATH` (the unified hierarchy), or one `N:name=systemd:PATH` (before it).
fn service_in(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (hierarchy, path) = rest.split_once(':')?;
        let systemd = hierarchy == "name=systemd" || line.starts_with("0::/");
        (systemd && path != "/").then_some(path)
    })?;
    let unit = path.rsplit('/').next()?;
    let harmless = HARMLESS.iter().any(|name| unit.starts_with(name));
    (unit.ends_with(".service") && !harmless).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found() {
        assert_eq!(
            service_in("0::/system.slice/backup.service\n"),
            Some("backup.service")
        );
        let app = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service";
        assert_eq!(service_in(app), Some("sync.service"));
        let old = "3:cpu:/\n1:name=systemd:/system.slice/backup.service\n0::/\n";
        assert_eq!(service_in(old), Some("backup.service"));
    }

    #[test]
    fn sessions_and_those_who_leave_us_alone_are_none() {
        let harmless = [
            "0::/\n",
            "",
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            "0::/user.slice/user-1000.slice/user@1000.service\n",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n",
            "0::/system.slice/cron.service\n",
            "0::/system.slice/ssh.service\n",
            "12:pids:/system.slice/backup.service\n",
        ];
        for groups in harmless {
            assert_eq!(service_in(groups), None, "{groups}");
        }
    }
}
