//! Tests of what can be deployed, and what is refused.

use std::fs::File;

use tempfile::TempDir;

use super::*;
use crate::provision::image::{bounded, satellite};

/// A program header in tests: its type, and the bytes that it points to.
type Part<'a> = (u32, &'a [u8]);

/// Builds an ELF file.
fn elf(kind: u16, machine: u16, parts: &[Part]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let words = |bytes: &mut Vec<u8>, words: &[u16]| {
        bytes.extend(words.iter().copied().flat_map(u16::to_le_bytes));
    };
    let long = |bytes: &mut Vec<u8>, long: u64| bytes.extend(long.to_le_bytes());
    words(&mut bytes, &[kind, machine, 1, 0]);
    long(&mut bytes, 0x40_0000);
    long(&mut bytes, 64);
    long(&mut bytes, 0);
    let count = u16::try_from(parts.len()).expect("tests have few parts");
    words(&mut bytes, &[0, 0, 64, 56, count, 64, 0, 0]);
    assert_eq!(bytes.len(), 64);
    let mut at = 64 + 56 * parts.len() as u64;
    for (kind, content) in parts {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        for value in [at, 0, 0, content.len() as u64, content.len() as u64, 1] {
            long(&mut bytes, value);
        }
        at += content.len() as u64;
    }
    bytes.extend(parts.iter().flat_map(|(_, content)| *content));
    bytes
}

/// A dynamic section with these tags.
fn dynamic(tags: &[u64]) -> Vec<u8> {
    tags.iter()
        .flat_map(|tag| [*tag, 7])
        .flat_map(u64::to_le_bytes)
        .collect()
}

const LOADED: Part = (1, b"code");

#[test]
fn static_programs_pass() {
    for kind in [2, 3] {
        assert_eq!(
            obstacle(&elf(kind, 62, &[LOADED]), Architecture::Amd64),
            None
        );
        assert_eq!(
            obstacle(&elf(kind, 183, &[LOADED]), Architecture::Arm64),
            None
        );
    }
    // A static position-independent executable has a dynamic section, which names no library.
    let relocations = dynamic(&[7, 8, 0, 1]);
    assert_eq!(
        obstacle(
            &elf(3, 62, &[LOADED, (2, &relocations)]),
            Architecture::Amd64
        ),
        None
    );
}

#[test]
fn what_needs_other_files_is_refused() {
    let with_loader = elf(3, 62, &[LOADED, (3, b"/lib64/ld-linux-x86-64.so.2\0")]);
    let with_library = elf(3, 62, &[LOADED, (2, &dynamic(&[1, 0]))]);
    for bytes in [with_loader, with_library] {
        let found = obstacle(&bytes, Architecture::Amd64).expect("it cannot run by itself");
        assert!(found.contains("dynamically"), "{found}");
    }
}

#[test]
fn another_processor_is_refused() {
    let cases = [
        (62, Architecture::Arm64, "is built for x86_64"),
        (183, Architecture::Amd64, "is built for arm64"),
        (
            243,
            Architecture::Amd64,
            "is built for another processor (ELF machine 243)",
        ),
    ];
    for (machine, target, expected) in cases {
        let dynamic = elf(3, machine, &[LOADED, (3, b"/lib/ld.so\0")]);
        assert_eq!(obstacle(&dynamic, target).as_deref(), Some(expected));
    }
}

#[test]
fn what_is_no_linux_program_is_refused() {
    let mut bits_32 = elf(2, 62, &[LOADED]);
    bits_32[4] = 1;
    let others: [&[u8]; 4] = [b"", b"MZ", b"#!/bin/sh\n", &bits_32];
    for bytes in others {
        let found = obstacle(bytes, Architecture::Amd64).expect("it cannot run");
        assert_eq!(found, "is no Linux program of 64 bits");
    }
    let found = obstacle(b"\xcf\xfa\xed\xfe", Architecture::Amd64).expect("it cannot run");
    assert!(found.contains("macOS"), "{found}");
    // A program for FreeBSD, and a library, which has no entry.
    let (mut freebsd, mut library) = (elf(2, 62, &[LOADED]), elf(3, 62, &[LOADED]));
    freebsd[7] = 9;
    library[24..32].fill(0);
    for bytes in [freebsd, library] {
        let found = obstacle(&bytes, Architecture::Amd64).expect("it cannot run");
        assert_eq!(found, "is no Linux program");
    }
    let mut linux = elf(2, 62, &[LOADED]);
    linux[7] = 3;
    assert_eq!(obstacle(&linux, Architecture::Amd64), None);
    let found = obstacle(&elf(2, 62, &[]), Architecture::Amd64).expect("it is empty");
    assert_eq!(found, "is incomplete, or damaged");
}

#[test]
fn every_cut_and_every_false_number_is_found() {
    let whole = elf(3, 62, &[LOADED, (2, &dynamic(&[7, 0])), LOADED]);
    assert_eq!(obstacle(&whole, Architecture::Amd64), None);
    for end in 0..whole.len() {
        assert!(
            obstacle(&whole[..end], Architecture::Amd64).is_some(),
            "cut at {end}"
        );
    }
    // The offset of the header table, the size of an entry and the number of entries; the offset
    // and the length of a segment.
    for (at, length) in [(32, 8), (54, 2), (56, 2), (64 + 8, 8), (64 + 32, 8)] {
        for value in [u64::MAX, u64::MAX - 60, 1 << 40, 0x7fff_ffff_ffff_ffff] {
            let mut bytes = whole.clone();
            bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
            if bytes != whole {
                let found = obstacle(&bytes, Architecture::Amd64);
                assert!(found.is_some(), "{value:x} at {at} passes");
            }
        }
    }
}

#[test]
fn no_byte_makes_the_reader_fail() {
    let whole = elf(3, 62, &[LOADED, (2, &dynamic(&[7, 0]))]);
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let _ = obstacle(&bytes, Architecture::Amd64);
        }
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let sentence = refusal(
        "this program",
        "is a program for macOS",
        Architecture::Amd64,
    );
    for part in [
        "--satellite-binary PATH",
        "--image REF",
        "x86_64",
        "cargo build --release",
        "static",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
    let sentence = refusal("this program", "is built for x86_64", Architecture::Arm64);
    assert!(
        sentence.contains("arm64") && sentence.contains("--satellite-binary PATH"),
        "{sentence}"
    );
    assert!(
        !sentence.contains("cargo build"),
        "a build there is not static: {sentence}"
    );
}

#[test]
fn this_test_program_is_read_as_what_it_is() {
    let (own, other) = if cfg!(target_arch = "x86_64") {
        (Architecture::Amd64, Architecture::Arm64)
    } else {
        (Architecture::Arm64, Architecture::Amd64)
    };
    let is_static = cfg!(target_feature = "crt-static");
    assert_eq!(satellite(None, own).is_ok(), is_static);
    let refused = satellite(None, other).expect_err("it is built for one processor");
    let sentence = &refused.sentence;
    assert!(
        sentence.starts_with("this program is built for "),
        "{sentence}"
    );
}

#[test]
fn a_file_is_taken_for_this_program() {
    let directory = TempDir::new().expect("there is room");
    let path = directory.path().join("skypipe");
    let bytes = elf(2, 62, &[LOADED]);
    std::fs::write(&path, &bytes).expect("there is room");
    assert_eq!(satellite(Some(&path), Architecture::Amd64), Ok(bytes));
    let refused = satellite(Some(&path), Architecture::Arm64).expect_err("it is for x86_64");
    assert_eq!(refused.code, crate::exit::USAGE);
    assert!(
        refused.sentence.contains(&path.display().to_string()),
        "{refused}"
    );
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let directory = TempDir::new().expect("there is room");
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("there is room");
    for path in [
        pipe.as_path(),
        directory.path(),
        &directory.path().join("none"),
    ] {
        let refused = satellite(Some(path), Architecture::Amd64).expect_err("it is no file");
        assert_eq!(refused.code, crate::exit::USAGE);
        assert!(
            refused.sentence.contains("cannot be read") && refused.sentence.contains("--image"),
            "{refused}"
        );
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read_to_its_end() {
    let directory = TempDir::new().expect("there is room");
    let path = directory.path().join("file");
    std::fs::write(&path, [0; 100]).expect("there is room");
    let open = || File::open(&path).expect("it is there");
    assert!(bounded(&open(), 99).is_err());
    assert_eq!(
        bounded(&open(), 100).map(|bytes| bytes.len()).ok(),
        Some(100)
    );
}
