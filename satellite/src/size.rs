//! The syntax of sizes.

/// Parses a number of bytes with or without a unit: `64MiB`, `64M` (the same), `64MB` (a little
/// less), `67108864`. Upper and lower case are the same.
///
/// # Errors
///
/// When the text is no size, or more than fits. The error is a sentence.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let size = unit_size(unit).and_then(|size| size.checked_mul(number.parse().ok()?));
    size.ok_or_else(|| format!("'{text}' is not a size: use one like 64MiB, 1GiB or 67108864"))
}

fn unit_size(unit: &str) -> Option<u64> {
    let unit = unit.trim_start().to_ascii_lowercase();
    Some(match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("67108864", 64 << 20),
            ("64MiB", 64 << 20),
            ("64m", 64 << 20),
            ("64 MB", 64_000_000),
            ("1GiB", 1 << 30),
            ("2k", 2048),
            ("3T", 3 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "MiB",
            "1.5GiB",
            "-1",
            "+1",
            " 1",
            "1 MiBs",
            "99999999999999999999",
            "16777216T",
        ] {
            assert!(parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}
