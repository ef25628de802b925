//! What must hold of the source itself: which file may name what, and that no file was forgotten.
//!
//! Owns the layering. The pure core (the protocol, a pipe, the broker, the client's sessions, the seals)
//! holds no socket, thread, clock, file or print. `ZeroMQ` and unsafe code are in named modules alone, each
//! of which argues for itself.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// The crates' sources.
const SOURCES: [&str; 5] = [
    "src",
    "broker/src",
    "broker/protocol/src",
    "broker/transport/src",
    "satellite/src",
];

/// Modules without effects, files and directories of the same name.
const PURE: [&str; 7] = [
    "broker/protocol/src",
    "broker/src/interface",
    "broker/src/v01",
    "broker/src/pipe",
    "broker/src/broker",
    "src/session",
    "src/crypto",
];

/// What they never name.
const EFFECTS: [&str; 4] = ["std::fs", "std::thread", "zmq", "rustix"];

/// What their roots turn on: `clippy.toml` has what is disallowed, such as reading a clock, and printing.
const GATES: [&str; 3] = [
    "clippy::disallowed_methods",
    "clippy::disallowed_types",
    "clippy::disallowed_macros",
];

/// Who may name libzmq.
const SPEAKERS: [&str; 6] = [
    "src/link",
    "broker/transport/src/frame",
    "broker/src/server",
    "broker/transport/src/tls",
    "broker/transport/src/borrowing",
    "satellite/src/bound",
];

/// Who may have unsafe code.
const UNSAFE: [&str; 9] = [
    "broker/transport/src/frame.rs",
    "broker/transport/src/borrowing.rs",
    "broker/transport/src/tls/layer.rs",
    "satellite/src/allocator.rs",
    "satellite/src/standard/before_main.rs",
    "src/descriptors.rs",
    "src/local/independence/priority.rs",
    "src/local/independence/signals.rs",
    "src/names/pin.rs",
];

/// What limits, sizes and times are.
const LIMITS: [&str; 5] = [": usize =", ": u32 =", ": u64 =", ": i64 =", ": Duration ="];

/// The most lines of one file, comments left out. Shorten the longest file before raising this.
const MOST_LINES: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a directory, as paths below the root, in order.
fn files(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("it is a directory") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let path = path.strip_prefix(root()).expect("it is below");
                found.push(path.to_str().expect("names are plain").to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{directory} has no files");
    found
}

fn sources() -> impl Iterator<Item = String> {
    SOURCES.into_iter().flat_map(files)
}

/// The lines of a file that are code, with their numbers.
fn code(file: &str) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join(file)).expect("it is text");
    let lines = text.lines().map(str::trim).zip(1..);
    let is_code = |line: &str| !line.starts_with("//");
    let code = lines.filter(|(line, _)| is_code(line));
    code.map(|(line, number)| (number, line.to_owned()))
        .collect()
}

/// Whether a file is this module's, or a module's below it.
fn is_in(file: &str, module: &str) -> bool {
    file.strip_prefix(module)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Whether a file is a module of tests.
fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs") || file.contains("/hostile")
}

/// Where lines of these files hold one of the words.
fn named(files: impl Iterator<Item = String>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in code(&file) {
            let word = words.iter().find(|word| line.contains(**word));
            found.extend(word.map(|word| format!("{file}:{number}: {word}")));
        }
    }
    found
}

#[test]
fn the_pure_core_has_no_effects() {
    let pure = |file: &String| PURE.iter().any(|module| is_in(file, module)) && !is_test(file);
    assert_eq!(named(sources().filter(pure), &EFFECTS), [""; 0]);
    for module in PURE {
        let root = ["/lib.rs", ".rs"].map(|end| format!("{module}{end}"));
        let root = root
            .into_iter()
            .find(|file| self::root().join(file).exists());
        let root = root.expect("a module has a root");
        for gate in GATES {
            let lines = named([root.clone()].into_iter(), &[gate]);
            assert_eq!(lines.len(), 1, "{root} must deny {gate}");
        }
    }
}

#[test]
fn libzmq_is_spoken_to_in_named_modules_alone() {
    let other = |file: &String| !SPEAKERS.iter().any(|module| is_in(file, module));
    assert_eq!(
        named(sources().filter(other), &["zmq::", "zmq_sys::"]),
        [""; 0]
    );
}

#[test]
fn unsafe_code_is_in_named_files_alone() {
    let other = |file: &String| !UNSAFE.contains(&file.as_str());
    let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    assert_eq!(named(sources().filter(other), &words), [""; 0]);
    for file in UNSAFE {
        assert!(root().join(file).exists(), "{file} is gone");
    }
}

#[test]
fn tests_wait_for_conditions_and_none_is_left_out() {
    let words = [concat!("thread::", "sleep("), concat!("#[", "ignore")];
    assert_eq!(named(files("tests").into_iter(), &words), [""; 0]);
}

/// A limit without a reason is a number that nobody dares to change.
#[test]
fn every_limit_says_what_it_is() {
    let mut bare = Vec::new();
    for file in sources().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(root().join(&file)).expect("it is text");
        let lines: Vec<_> = text.lines().collect();
        for (place, line) in lines.iter().enumerate() {
            let item = line.strip_prefix("pub ").unwrap_or(line);
            let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
            let item = item.strip_prefix("pub(super) ").unwrap_or(item);
            let before = lines[..place].iter().rev();
            let mut before =
                before.skip_while(|line| line.starts_with("#[") || line.contains("const "));
            let is_limit = LIMITS.iter().any(|kind| item.contains(kind));
            if item.starts_with("const ")
                && is_limit
                && !before.next().is_some_and(|line| line.starts_with("///"))
            {
                bare.push(format!("{file}:{}: {line}", place + 1));
            }
        }
    }
    assert_eq!(bare, [""; 0]);
}

#[test]
fn no_file_is_too_long_to_be_held_in_mind() {
    let all = sources().chain(files("tests")).chain(files("benches"));
    let long: Vec<_> = all.filter(|file| code(file).len() > MOST_LINES).collect();
    assert_eq!(long, [""; 0]);
}

/// The files that a file's `mod` lines may mean.
fn declared(file: &str) -> Vec<PathBuf> {
    let path = Path::new(file);
    let stem = path
        .file_stem()
        .and_then(|it| it.to_str())
        .expect("it has a name");
    let parent = path.parent().expect("it is below the root");
    let is_root = ["main", "lib", "mod"].contains(&stem) || parent == Path::new("tests");
    let mut found = Vec::new();
    let mut below = vec![if is_root {
        parent.to_owned()
    } else {
        parent.join(stem)
    }];
    let mut other = None;
    for (_, line) in code(file) {
        other = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
            .map(str::to_owned)
            .or(other);
        let item = line.strip_prefix("pub ").unwrap_or(&line);
        let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
        let item = item.strip_prefix("pub(super) ").unwrap_or(item);
        let Some(rest) = item.strip_prefix("mod ") else {
            continue;
        };
        let directory = below.last().expect("there is one").clone();
        if let Some(name) = rest.strip_suffix(';') {
            if let Some(path) = other.take() {
                found.push(parent.join(path));
            } else {
                found.push(directory.join(format!("{name}.rs")));
                found.push(directory.join(name).join("mod.rs"));
            }
        } else if let Some(name) = rest.strip_suffix(" {")
            && name != "tests"
        {
            below.push(directory.join(name));
        }
    }
    found
}

/// A file that no `mod` names is compiled by nobody, and its tests never run.
#[test]
fn no_file_was_forgotten() {
    let all: Vec<_> = sources().chain(files("tests")).collect();
    let named: Vec<_> = all.iter().flat_map(|file| declared(file)).collect();
    let is_root = |file: &Path| {
        let name = file.file_name().and_then(|it| it.to_str());
        name == Some("main.rs")
            || name == Some("lib.rs")
            || file.parent() == Some(Path::new("tests"))
    };
    let forgotten: Vec<_> = all
        .iter()
        .map(PathBuf::from)
        .filter(|file| !is_root(file) && !named.contains(file))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
