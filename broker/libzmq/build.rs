//! Hands the place where libsodium was built, which cargo tells only to build scripts of direct
//! dependents, on to the library of this crate.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["DEP_SODIUM_INCLUDE", "DEP_SODIUM_LIB"] {
        println!("cargo:rerun-if-env-changed={name}");
        let place = env::var(name).expect("libsodium-sys-stable says where it built libsodium");
        println!("cargo:rustc-env={name}={place}");
    }
}
