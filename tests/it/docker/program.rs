//! The programs that tests deploy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The programs that tests deploy: two that work, and one that fails.
#[derive(Clone)]
pub struct Programs {
    /// The program under test.
    pub first: PathBuf,
    /// The same program in another image: a few bytes are appended.
    pub second: PathBuf,
    /// A program that exits at once, with exit code 1.
    pub failing: PathBuf,
}

/// The programs of all tests, which are made once.
static MADE: LazyLock<Programs> = LazyLock::new(make);

impl Programs {
    /// The programs. Tests must not change them.
    pub fn get() -> Self {
        MADE.clone()
    }
}

fn make() -> Programs {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docker-programs");
    fs::create_dir_all(&directory).expect("there is room");
    let place = |name: &str| directory.join(name);
    let (first, second, failing) = (place("first"), place("second"), place("failing"));
    // Debug information makes the program ten times as large.
    run(Command::new("strip")
        .arg("-o")
        .arg(&first)
        .arg(env!("CARGO_BIN_EXE_skypipe")));
    let mut bytes = fs::read(&first).expect("it is there");
    bytes.extend_from_slice(b"second");
    fs::write(&second, bytes).expect("there is room");
    let source = place("failing.rs");
    let text = r#"fn main() { eprintln!("this program fails"); std::process::exit(1); }"#;
    fs::write(&source, text).expect("there is room");
    let mut rustc = Command::new("rustc");
    rustc.args([
        "-C",
        "target-feature=+crt-static",
        "-C",
        "strip=symbols",
        "-o",
    ]);
    run(rustc.arg(&failing).arg(source));
    Programs {
        first,
        second,
        failing,
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it can be run");
    assert!(status.success(), "{command:?}: {status}");
}
