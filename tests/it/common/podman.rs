//! A podman for one test, with its own settings and storage.

use std::fs;
use std::path::Path;
use std::process::Command;

const CONTAINERS: &str = r#"[containers]
default_ulimits=["nofile=20000:20000","nproc=4096:4096"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
lock_type="file"
"#;

/// Writes settings that keep all of podman's files in `directory`.
pub fn configure(directory: &Path) {
    let at = |name: &str| directory.join(name).display().to_string();
    let containers = format!("{CONTAINERS}tmp_dir={:?}\n", at("tmp"));
    let (graph, run) = (at("graph"), at("run"));
    let storage = format!("[storage]\ndriver=\"vfs\"\ngraphroot={graph:?}\nrunroot={run:?}\n");
    fs::write(directory.join("containers.conf"), containers).expect("there is room");
    fs::write(directory.join("storage.conf"), storage).expect("there is room");
}

/// `podman` with those settings.
pub fn podman(directory: &Path) -> Command {
    let mut command = Command::new("podman");
    command
        .env("CONTAINERS_CONF", directory.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", directory.join("storage.conf"));
    command
}
