//! Finds what libzmq is built from: its source, which the crate `zeromq-src` brings along.
//!
//! Cargo tells nobody where a crate lies that has no build script; `cargo metadata` does.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file that only libzmq's source has.
const MARK: &str = "vendor/src/socket_base.cpp";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    let source = source().expect("zeromq-src is a dependency, and brings libzmq's source along");
    println!("cargo:rustc-env=LIBZMQ_SOURCE={}", source.display());
}

fn source() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO")?;
    let told = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .output()
        .ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let manifests = told.split(r#""manifest_path":""#).skip(1);
    let mut places = manifests.filter_map(|rest| Path::new(rest.split('"').next()?).parent());
    let place = places.find(|place| place.join(MARK).exists())?;
    Some(place.join("vendor"))
}
