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
    // A first build on a new machine has fetched what it compiles itself; cargo names the places of all
    // crates or of none, so that the second question fetches the rest.
    let source = source(&["--offline"]).or_else(|_| source(&[]));
    let source = source.unwrap_or_else(|why| panic!("libzmq's source was not found: {why}"));
    println!("cargo:rustc-env=LIBZMQ_SOURCE={}", source.display());
}

/// Where libzmq's source is, by cargo's list of the crates of this workspace.
fn source(flags: &[&str]) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").ok_or("this is a build script of cargo's")?;
    let host = env::var("HOST").map_err(|error| error.to_string())?;
    let told = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", &host])
        .args(flags)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into_owned());
    }
    let told = String::from_utf8_lossy(&told.stdout);
    let manifests = told.split(r#""manifest_path":""#).skip(1);
    let mut places = manifests.filter_map(|rest| Path::new(rest.split('"').next()?).parent());
    let place = places.find(|place| place.join(MARK).exists());
    let place = place.ok_or("zeromq-src is a dependency, and no longer brings it along")?;
    Ok(place.join("vendor"))
}
