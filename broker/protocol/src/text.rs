//! Displays text that others chose.
//!
//! This module owns what may reach a terminal unchanged, how names are written, and how things are counted in
//! words. The client's messages and tables and the satellite's log all use it. It never prints.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Characters without a visible glyph that are not control or format characters (Unicode's
/// `Default_Ignorable_Code_Point`, except those that Rust escapes anyway), and the Braille blank.
const IGNORABLE: [(char, char); 10] = [
    ('\u{34f}', '\u{34f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character is visible and has no other effect. False for control and format characters, for every
/// space except the usual one, and for characters that Unicode leaves unassigned or to private use.
fn shows(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    if IGNORABLE
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&c))
    {
        return false;
    }
    // The `escape_debug` of a string leaves printable characters unchanged. The first character is special: a
    // combining mark there would change the quote before it. So this check puts a letter first.
    let mut text = [b'a'; 5];
    let len = 1 + c.encode_utf8(&mut text[1..]).len();
    let text = std::str::from_utf8(&text[..len]).unwrap_or_default();
    text.escape_debug().eq(text.chars())
}

/// Escapes every character of `text` that moves a cursor, changes direction or hides, as in `\u{1b}`.
///
/// ```
/// use skypipe_protocol::text::printable;
/// assert_eq!(printable("größe 日本 👍"), "größe 日本 👍");
/// assert_eq!(printable("\u{1b}[2J \u{202e}gpj.exe"), "\\u{1b}[2J \\u{202e}gpj.exe");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, shows, |c| format!("\\u{{{:x}}}", u32::from(c)))
}

/// Escapes the same characters in JSON text by JSON's rules, as in `\u001b`. They can only occur in its
/// strings.
///
/// ```
/// use skypipe_protocol::text::json;
/// assert_eq!(json("{\"name\":\"\u{202e}x\u{e0041}\"}"), r#"{"name":"\u202ex\udb40\udc41"}"#);
/// ```
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, shows, |c| {
        let units = c.encode_utf16(&mut [0; 2]).to_vec();
        units
            .iter()
            .fold(String::new(), |all, unit| all + &format!("\\u{unit:04x}"))
    })
}

fn escaped(
    text: &str,
    is_fine: impl Fn(char) -> bool,
    escape: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if text.chars().all(&is_fine) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_fine(c) {
            shown.push(c);
        } else {
            shown.push_str(&escape(c));
        }
    }
    Cow::Owned(shown)
}

/// Puts a name in double quotes. Nothing in the result can be mistaken for the closing quote or for an
/// escape.
///
/// ```
/// use skypipe_protocol::text::quoted;
/// assert_eq!(quoted("jobs"), "\"jobs\"");
/// assert_eq!(quoted("a\"b\\"), r#""a\"b\\""#);
/// ```
#[must_use]
pub fn quoted(name: &str) -> String {
    let mut shown = String::from("\"");
    for (at, c) in name.char_indices() {
        // A combining mark at the beginning would change the quote.
        let is_fine = shows(c) && (at > 0 || !unicode_normalization::char::is_combining_mark(c));
        match c {
            '"' | '\\' => {
                shown.push('\\');
                shown.push(c);
            }
            c if is_fine => shown.push(c),
            c => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    shown.push('"');
    shown
}

/// A pipe in a sentence: `"jobs"`, or `the default pipe`.
#[must_use]
pub fn pipe(name: &str) -> String {
    if name.is_empty() {
        "the default pipe".to_owned()
    } else {
        quoted(name)
    }
}

/// A name in a table: unchanged, or [`quoted`] if it could be mistaken for something else.
///
/// ```
/// use skypipe_protocol::text::cell;
/// assert_eq!(cell("logs/web"), "logs/web");
/// assert_eq!(cell("(default)"), "\"(default)\"");
/// assert_eq!(cell("two words"), "\"two words\"");
/// ```
#[must_use]
pub fn cell(name: &str) -> String {
    let is_odd = |c: char| !shows(c) || matches!(c, ' ' | ',' | '"' | '\\' | '(' | ')');
    let is_marked = |c: char| unicode_normalization::char::is_combining_mark(c);
    if name.is_empty() || name.contains(is_odd) || name.starts_with(is_marked) {
        quoted(name)
    } else {
        name.to_owned()
    }
}

/// A pipe in a table: `(default)`, or its name as [`cell`] shows it.
#[must_use]
pub fn pipe_cell(name: &str) -> String {
    if name.is_empty() {
        "(default)".to_owned()
    } else {
        cell(name)
    }
}

/// A number of things: `1 stream`, `2 streams`. The noun must have a regular plural.
#[must_use]
pub fn count(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// Normalizes a name (Unicode's NFC), so that `é` as one character and as two is the same name.
///
/// ```
/// use skypipe_protocol::text::normal;
/// assert_eq!(normal("cafe\u{301}"), "café");
/// ```
#[must_use]
pub fn normal(name: &str) -> Cow<'_, str> {
    if is_normal(name) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.nfc().collect())
    }
}

/// Whether a name is spelled as [`normal`] spells it.
#[must_use]
pub fn is_normal(name: &str) -> bool {
    match is_nfc_quick(name.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => name.nfc().eq(name.chars()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that move a cursor, change direction, hide, or are not assigned.
    const HARMFUL: &str = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{1680}\
        \u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\
        \u{202d}\u{202e}\u{2060}\u{2061}\u{2066}\u{2067}\u{2068}\u{2069}\u{206a}\u{2800}\u{3000}\
        \u{3164}\u{e000}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{fffe}\u{1d173}\u{e0001}\u{e0041}\
        \u{e0100}\u{f0000}\u{10ffff}";

    #[test]
    fn nothing_harmful_is_shown_raw() {
        for c in HARMFUL.chars() {
            let text = format!("x{c}y");
            let shown = [printable(&text).into_owned(), json(&text).into_owned()];
            for shown in shown.into_iter().chain([quoted(&text), cell(&text)]) {
                assert!(!shown.contains(c), "{:x}", u32::from(c));
                assert!(shown.contains("\\u"), "{shown}");
            }
        }
    }

    #[test]
    fn the_scripts_of_the_world_are_shown_as_they_are() {
        for name in [
            "größe",
            "日本語",
            "한국어",
            "हिन्दी",
            "עברית",
            "العربية",
            "ไทย",
            "👍🏽",
            "a\u{308}\u{323}",
            "c:\\temp",
        ] {
            assert_eq!(printable(name), name);
            assert_eq!(json(name), name);
        }
    }

    #[test]
    fn no_two_pipes_look_the_same() {
        let names = [
            "",
            "(default)",
            "\"(default)\"",
            "\\u{1b}",
            "\u{1b}",
            "a b",
            "a\u{a0}b",
            "the default pipe",
        ];
        for shown in [pipe, pipe_cell] {
            let shown: std::collections::HashSet<_> = names.into_iter().map(shown).collect();
            assert_eq!(shown.len(), names.len(), "{shown:?}");
        }
    }

    #[test]
    fn a_mark_does_not_change_the_quote_before_it() {
        assert_eq!(quoted("\u{301}x"), "\"\\u{301}x\"");
        assert_eq!(cell("\u{301}x"), "\"\\u{301}x\"");
    }

    #[test]
    fn all_spellings_are_one() {
        for (name, one) in [
            ("logs", "logs"),
            ("ä", "ä"),
            ("a\u{308}", "ä"),
            ("s\u{307}\u{323}", "\u{1e69}"),
            ("\u{212b}", "\u{c5}"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
        ] {
            assert_eq!(normal(name), one);
            assert!(is_normal(one));
        }
        assert!(!is_normal("a\u{308}") && is_normal("ä") && is_normal("logs"));
    }

    #[test]
    fn one_is_one() {
        assert_eq!(count(1, "client"), "1 client");
        assert_eq!(count(0, "byte"), "0 bytes");
        assert_eq!(count(2, "stream"), "2 streams");
    }
}
