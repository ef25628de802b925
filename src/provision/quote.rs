//! Text of others inside our messages.
//!
//! Owns what is left of it: a limited part of one line that cannot harm a terminal.

/// The most lines that are quoted. The last ones say why something ended.
const MAX_LINES: usize = 8;

/// The most characters that are quoted. The last ones hold the reason.
const MAX_CHARACTERS: usize = 600;

/// The text as part of a sentence: without empty lines, frames of `@`, control characters, and the
/// full stop at the end. Empty if nothing is left.
#[must_use]
pub fn quote(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.trim_matches(|c: char| c == '@' || c.is_whitespace()));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(MAX_LINES)..].join("; ");
    let last = last.trim_end_matches(['.', ' ']);
    let plain: Vec<char> = last.chars().filter(|c| !c.is_control()).collect();
    let over = plain.len().saturating_sub(MAX_CHARACTERS);
    plain.into_iter().skip(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_part_of_a_sentence() {
        let framed = "@@@@@@\r\n@  WARNING!  @\r\n\r\nNo \u{1b}[1mway.\r\n";
        assert_eq!(quote(framed), "WARNING!; No [1mway");
        assert_eq!(quote(" \n"), "");
        assert_eq!(quote(&"x".repeat(10_000)).len(), MAX_CHARACTERS);
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert!(quote(&many.join("\n")).ends_with("98; 99"));
        let long = quote(&format!("{}: it is full.", "x".repeat(10_000)));
        assert!(long.ends_with("xx: it is full"), "{long}");
        assert_eq!(long.len(), MAX_CHARACTERS);
    }
}
