//! The programs that tests deploy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use skypipe::provision::Plan;

/// The real program.
const SKYPIPE: &str = env!("CARGO_BIN_EXE_skypipe");

/// Public keys whose secret keys nobody has.
pub const OWNER: &str =
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A plan to deploy the real program as this version.
pub fn plan(version: &str) -> Plan {
    Plan {
        version: version.to_owned(),
        owner: OWNER.to_owned(),
        port: None,
        public: None,
        binary: Some(SKYPIPE.into()),
        image: None,
    }
}

/// A plan to deploy a static program that reports that the stars are wrong, and fails: as a
/// satellite, or at every command.
pub fn bad(place: &Path, version: &str, fails_always: bool) -> Plan {
    let condition = if fails_always {
        "true"
    } else {
        "std::env::args().any(|a| a == \"--satellite\")"
    };
    let source = format!(
        "fn main() {{ if {condition} {{ eprintln!(\"the stars are wrong\"); std::process::exit(1) }} }}"
    );
    let text = place.join(format!("bad-{version}.rs"));
    fs::write(&text, source).expect("there is room");
    let program: PathBuf = text.with_extension("");
    let built = Command::new("rustc")
        .args([
            "--crate-name",
            "bad",
            "--edition",
            "2024",
            "-C",
            "target-feature=+crt-static",
            "-o",
        ])
        .args([&program, &text])
        .status()
        .expect("whoever runs tests has rustc");
    assert!(built.success());
    Plan {
        binary: Some(program),
        ..plan(version)
    }
}
