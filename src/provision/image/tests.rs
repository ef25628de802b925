//! Tests of the packed image.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;
use tar::Archive;

use super::*;

#[test]
fn platforms_names_of_processors_are_read() {
    for (text, expected) in [
        ("amd64", Some(Architecture::Amd64)),
        ("x86_64\n", Some(Architecture::Amd64)),
        ("arm64", Some(Architecture::Arm64)),
        (" aarch64", Some(Architecture::Arm64)),
        ("armv7l", None),
        ("", None),
    ] {
        assert_eq!(Architecture::read(text), expected);
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("it is JSON")
}

fn unpacked(tar: &[u8]) -> Vec<(tar::Header, Vec<u8>)> {
    let mut archive = Archive::new(tar);
    let entries = archive.entries().expect("it is a tar");
    let read = |entry: io::Result<tar::Entry<&[u8]>>| {
        let mut entry = entry.expect("it is whole");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("it is whole");
        (entry.header().clone(), bytes)
    };
    entries.map(read).collect()
}

fn name(header: &tar::Header) -> String {
    header.path().expect("it is a path").display().to_string()
}

#[test]
fn the_layer_is_the_program_and_nothing_else() {
    let image = Image::pack(b"program", Architecture::Amd64);
    let entries = unpacked(&image.layer);
    let [(header, bytes)] = entries.as_slice() else {
        panic!("{} entries", entries.len())
    };
    assert_eq!(bytes, b"program");
    assert_eq!(name(header), "skypipe");
    let numbers = (
        header.mode().ok(),
        header.mtime().ok(),
        header.uid().ok(),
        header.gid().ok(),
    );
    assert_eq!(numbers, (Some(0o755), Some(0), Some(0), Some(0)));
    assert_eq!(header.username(), Ok(Some("")));
    assert_eq!(header.groupname(), Ok(Some("")));
}

#[test]
fn the_compressed_layer_tells_nothing_of_this_machine() {
    let image = Image::pack(b"program", Architecture::Amd64);
    // RFC 1952: the magic number, deflate, no flags (so no name), mtime 0, then the level and no
    // named system.
    assert_eq!(image.pushed().layer[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    assert_eq!(image.pushed().layer[9], 255);
    let mut layer = Vec::new();
    GzDecoder::new(image.pushed().layer.as_slice())
        .read_to_end(&mut layer)
        .expect("it is gzip");
    assert_eq!(layer, image.layer);
}

#[test]
fn the_digests_are_those_of_the_bytes() {
    assert_eq!(
        digest(b"abc"),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let image = Image::pack(b"program", Architecture::Arm64);
    let (config, manifest) = (json(&image.config), json(&image.pushed().manifest));
    assert_eq!(config["rootfs"]["diff_ids"], json!([digest(&image.layer)]));
    assert_eq!(manifest["config"]["digest"], digest(&image.config));
    assert_eq!(manifest["config"]["size"], image.config.len());
    assert_eq!(
        manifest["layers"][0]["digest"],
        digest(&image.pushed().layer)
    );
    assert_eq!(manifest["layers"][0]["size"], image.pushed().layer.len());
    assert_eq!(image.digest(), digest(&image.pushed().manifest));
}

#[test]
fn the_image_runs_the_program_on_its_processor() {
    for (architecture, expected) in [
        (Architecture::Amd64, "amd64"),
        (Architecture::Arm64, "arm64"),
    ] {
        let config = json(&Image::pack(b"program", architecture).config);
        assert_eq!(config["architecture"], expected);
        assert_eq!(config["os"], "linux");
        assert_eq!(config["config"]["Entrypoint"], json!(["/skypipe"]));
        assert_eq!(config["config"]["ExposedPorts"], json!({ "9000/tcp": {} }));
        assert!(config["config"].get("Volumes").is_none());
    }
}

#[test]
fn the_same_program_gives_the_same_image() {
    let program = vec![7; 100_000];
    let (one, other) = (
        Image::pack(&program, Architecture::Amd64),
        Image::pack(&program, Architecture::Amd64),
    );
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.id(), other.id());
    assert_eq!(one.docker_archive("a:1"), other.docker_archive("a:1"));
    let mut changed = program.clone();
    changed[99_999] = 8;
    for another in [
        Image::pack(&changed, Architecture::Amd64),
        Image::pack(&program, Architecture::Arm64),
    ] {
        assert_ne!(one.digest(), another.digest());
        assert_ne!(one.id(), another.id());
    }
}

#[test]
fn the_archive_names_what_is_in_it() {
    let image = Image::pack(b"program", Architecture::Amd64);
    let entries = unpacked(&image.docker_archive("skypipe-satellite:1.0.0"));
    let names: Vec<_> = entries.iter().map(|(header, _)| name(header)).collect();
    let manifest = json(&entries[0].1);
    assert_eq!(manifest[0]["RepoTags"], json!(["skypipe-satellite:1.0.0"]));
    assert_eq!(
        json!(names),
        json!([
            "manifest.json",
            manifest[0]["Config"],
            manifest[0]["Layers"][0]
        ])
    );
    assert_eq!(
        (&entries[1].1, &entries[2].1),
        (&image.config, &image.layer)
    );
}
