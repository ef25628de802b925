//! The token in flyctl's configuration file, `config.yml`.
//!
//! Owns where the file is, and how one key of it is read. Never writes the file.
//!
//! Go's yaml.v3 writes the file from a map: one key a line, its text plain, quoted, or (if it had
//! line breaks) as a block. That is simple enough to parse here. A crate for all of YAML would be
//! many times as large.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::Failure;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

const KEY: &str = "access_token";

/// The token in the file at `path`; `None` if there is no file or no token in it.
///
/// # Errors
///
/// When the file cannot be read, or uses a form of YAML that is not supported.
pub fn access_token(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    let fault = |what: &str| Failure::failed(format!("{} {what}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(&format!("cannot be opened: {error}"))),
    };
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_FILE).read_to_string(&mut text);
    read.map_err(|error| fault(&format!("cannot be read: {error}")))?;
    let odd = || fault("has an access_token that is not understood: set FLY_API_TOKEN instead");
    let token = value(&text).map_err(|Odd| odd())?;
    Ok(token.filter(|token| !token.is_empty()))
}

/// A form of YAML that is not supported.
#[derive(Debug, PartialEq, Eq)]
struct Odd;

/// The value of the key at the top level.
fn value(document: &str) -> Result<Option<Zeroizing<String>>, Odd> {
    let mut lines = document.lines();
    let Some(first) = lines.by_ref().find_map(after_key) else {
        return Ok(None);
    };
    let first = first.trim();
    let text = match first.chars().next() {
        Some('"') => double(&first[1..])?,
        Some('\'') => single(&first[1..])?,
        Some('|' | '>') => block(lines),
        Some('&' | '*' | '!' | '[' | '{') => return Err(Odd),
        _ => without_comment(first).to_owned(),
    };
    let none = matches!(text.as_str(), "~" | "null");
    Ok((!none).then(|| Zeroizing::new(text)))
}

/// What follows the key and its colon, if this line has the key.
fn after_key(line: &str) -> Option<&str> {
    let quoted = |quote: char| {
        line.strip_prefix(quote)?
            .strip_prefix(KEY)?
            .strip_prefix(quote)
    };
    let rest = quoted('"')
        .or_else(|| quoted('\''))
        .or_else(|| line.strip_prefix(KEY))?;
    let rest = rest.trim_start().strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(rest)
}

/// The text without its comment. `#` begins a comment only at the start or after white space.
fn without_comment(text: &str) -> &str {
    let mut before = ' ';
    for (at, found) in text.char_indices() {
        if found == '#' && before.is_whitespace() {
            return text[..at].trim_end();
        }
        before = found;
    }
    text
}

fn single(text: &str) -> Result<String, Odd> {
    let mut read = String::new();
    let mut rest = text.chars();
    while let Some(found) = rest.next() {
        match found {
            '\'' if rest.as_str().starts_with('\'') => {
                rest.next();
                read.push('\'');
            }
            '\'' => return ended(rest.as_str(), read),
            _ => read.push(found),
        }
    }
    Err(Odd)
}

/// The text of a double-quoted value. No token has a character that must be escaped, so only `\"`,
/// `\\` and `\/` are supported.
fn double(text: &str) -> Result<String, Odd> {
    let mut read = String::new();
    let mut rest = text.chars();
    while let Some(found) = rest.next() {
        match found {
            '"' => return ended(rest.as_str(), read),
            '\\' => match rest.next() {
                Some(escaped @ ('"' | '\\' | '/')) => read.push(escaped),
                _ => return Err(Odd),
            },
            _ => read.push(found),
        }
    }
    Err(Odd)
}

/// Returns `read` if nothing or only a comment follows the closing quote.
fn ended(rest: &str, read: String) -> Result<String, Odd> {
    if without_comment(rest).trim().is_empty() {
        Ok(read)
    } else {
        Err(Odd)
    }
}

/// The lines of a block, which are the indented ones.
fn block<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let inside = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    let words: Vec<&str> = inside
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Option<String> {
        let found = value(document).expect("a form that is read");
        found.map(|text| text.to_string())
    }

    #[test]
    fn each_form_of_the_value_is_read() {
        let cases = [
            (
                "access_token: fm2_a/b+c==,fm2_d\nauto_update: true\n",
                "fm2_a/b+c==,fm2_d",
            ),
            (
                "last_login: 2026\naccess_token:   fo1_x   # mine\n",
                "fo1_x",
            ),
            ("access_token: FlyV1 fm2_x#y\r\n", "FlyV1 fm2_x#y"),
            ("access_token: \"fo1_\\\"x\" # mine", "fo1_\"x"),
            ("access_token: 'fo1_''x'", "fo1_'x"),
            ("\"access_token\": fo1_x", "fo1_x"),
            (
                "access_token: |-\n    fm2_a,\n    fm2_b\nmetrics_token: no\n",
                "fm2_a, fm2_b",
            ),
            ("access_token: >\n  fm2_a\n\nmetrics_token: no\n", "fm2_a"),
        ];
        for (document, token) in cases {
            assert_eq!(read(document).as_deref(), Some(token), "{document}");
        }
    }

    #[test]
    fn another_key_or_no_value_is_none() {
        for document in [
            "",
            "x:\n  access_token: no\n",
            "access_tokens: no\n",
            "#access_token: no",
            "access_token: null",
        ] {
            assert_eq!(read(document), None, "{document}");
        }
        assert_eq!(read("access_token: \"\"\n").as_deref(), Some(""));
    }

    #[test]
    fn a_form_that_is_not_understood_is_refused() {
        for document in [
            "access_token: \"no end",
            "access_token: 'no end",
            "access_token: &anchor x",
            "access_token: \"\\x41\"",
            "access_token: 'a' b",
        ] {
            assert_eq!(value(document), Err(Odd), "{document}");
        }
    }

    #[test]
    fn no_file_and_an_empty_value_are_no_token() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.yml");
        assert_eq!(access_token(&path).expect("no file"), None);
        std::fs::write(&path, "access_token: \"\"\n").expect("a file");
        assert_eq!(access_token(&path).expect("a file"), None);
        std::fs::write(&path, "access_token: fo1_x\n").expect("a file");
        let found = access_token(&path).expect("a file").expect("a token");
        assert_eq!(found.as_str(), "fo1_x");
        std::fs::write(&path, b"access_token: \xff\n").expect("a file");
        access_token(&path).expect_err("no UTF-8");
    }
}
