//! Whether an executable can run as a satellite.
//!
//! Owns the few fields of an ELF file that decide this, and the text for what prevents it. A file
//! is untrusted input: every offset and length in it is checked against the size of the file.

use super::Architecture;

/// Numbers of the System V ABI (generic ABI and its Linux extensions), as in `elf.h`.
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;

/// How a file of 64 bits, little endian, begins.
const MAGIC: &[u8] = b"\x7fELF\x02\x01";

/// How a program for macOS of 64 bits, little endian, begins (`mach-o/loader.h`).
const MACOS: &[u8] = b"\xcf\xfa\xed\xfe";

/// The systems of a Linux program, in its eighth byte: none in particular, or Linux.
const ELFOSABI_NONE: u8 = 0;
const ELFOSABI_LINUX: u8 = 3;

/// The size of a program header, and of an entry of the dynamic section, in bytes.
const PROGRAM_HEADER: u64 = 56;
const DYNAMIC_ENTRY: usize = 16;

/// What prevents a program with these bytes from running on such a machine, as text that follows the
/// program's name; `None` if it can run.
pub fn obstacle(bytes: &[u8], target: Architecture) -> Option<String> {
    if bytes.starts_with(MACOS) {
        return Some("is a macOS program, and no Linux program".to_owned());
    }
    if !bytes.starts_with(MAGIC) {
        return Some("is no Linux program of 64 bits".to_owned());
    }
    let loaded = segments(bytes).filter(|all| all.iter().any(|segment| segment.kind == PT_LOAD));
    let (Some(machine), Some(segments)) = (u16_at(bytes, 18), loaded) else {
        return Some("is incomplete, or damaged".to_owned());
    };
    // A library, and what is not linked yet, have no entry.
    let is_of_linux = matches!(bytes.get(7), Some(&(ELFOSABI_NONE | ELFOSABI_LINUX)));
    if u64_at(bytes, 24) == Some(0) || !is_of_linux {
        return Some("is no Linux program".to_owned());
    }
    let wanted = match target {
        Architecture::Amd64 => EM_X86_64,
        Architecture::Arm64 => EM_AARCH64,
    };
    if machine != wanted {
        return Some(match machine {
            EM_X86_64 => "is built for x86_64".to_owned(),
            EM_AARCH64 => "is built for arm64".to_owned(),
            other => format!("is built for another processor (ELF machine {other})"),
        });
    }
    let needs_others = |segment: &Segment| {
        segment.kind == PT_INTERP || segment.kind == PT_DYNAMIC && names_libraries(segment.bytes)
    };
    let is_dynamic = segments.iter().any(needs_others);
    is_dynamic.then(|| "is linked dynamically, to libraries that are not there".to_owned())
}

/// The sentence that says so, and what to do.
pub fn refusal(name: &str, obstacle: &str, target: Architecture) -> String {
    let (machine, how) = match target {
        Architecture::Amd64 => (
            "x86_64",
            " (cargo build --release on x86_64 Linux makes one)",
        ),
        Architecture::Arm64 => ("arm64", ""),
    };
    format!(
        "{name} {obstacle}, and this satellite runs on {machine} Linux with no libraries: give a static Linux \
         executable of skypipe for {machine} with --satellite-binary PATH{how}, or an image in a registry with \
         --image REF"
    )
}

/// A segment: part of the file, with its type.
struct Segment<'a> {
    kind: u32,
    bytes: &'a [u8],
}

/// All segments; `None` if one reaches beyond the end of the file.
fn segments(bytes: &[u8]) -> Option<Vec<Segment<'_>>> {
    let (table, size, count) = (u64_at(bytes, 32)?, u16_at(bytes, 54)?, u16_at(bytes, 56)?);
    if u64::from(size) != PROGRAM_HEADER {
        return None;
    }
    let segment = |index: u16| {
        let at = table.checked_add(u64::from(index) * PROGRAM_HEADER)?;
        let header = part(bytes, at, PROGRAM_HEADER)?;
        let kind = u32_at(header, 0)?;
        let is_read = matches!(kind, PT_LOAD | PT_DYNAMIC | PT_INTERP);
        let content = if is_read {
            part(bytes, u64_at(header, 8)?, u64_at(header, 32)?)?
        } else {
            &[]
        };
        Some(Segment {
            kind,
            bytes: content,
        })
    };
    (0..count).map(segment).collect()
}

/// Whether a dynamic section names a library. The dynamic section of a static position-independent
/// executable names none.
fn names_libraries(section: &[u8]) -> bool {
    let mut tags = section
        .chunks_exact(DYNAMIC_ENTRY)
        .map_while(|entry| u64_at(entry, 0));
    tags.find(|tag| matches!(*tag, DT_NULL | DT_NEEDED)) == Some(DT_NEEDED)
}

fn part(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    let end = at.checked_add(length)?;
    bytes.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
