//! A registry's text, made safe for a terminal.

use serde_json::Value;

use crate::provision::http::Answer;

/// The longest text of a registry that is shown, in characters.
const MAX_WORDS: usize = 300;

/// How many of a registry's errors are shown.
const MAX_ERRORS: usize = 3;

/// How much of an answer is looked at, in bytes. It is more than what is shown, so that a secret in
/// the shown part is complete and can be hidden.
const MAX_LOOK: usize = 64 << 10;

/// The status, with the registry's own text if there is any: `HTTP 401 (UNAUTHORIZED:
/// authentication required)`. `hide` removes secrets.
pub fn of(answer: &Answer, hide: impl Fn(&str) -> String) -> String {
    let said = errors(&answer.body).or_else(|| line(&answer.body));
    match said {
        Some(said) => format!("HTTP {} ({})", answer.status, plain(&hide(&said))),
        None => format!("HTTP {}", answer.status),
    }
}

/// The errors of the distribution API: `{"errors":[{"code":…,"message":…}]}`.
fn errors(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |error: &Value| {
        let part = |name| {
            let text = error.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let parts: Vec<_> = [part("code"), part("message")]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    };
    let errors = value.get("errors")?.as_array()?.iter().take(MAX_ERRORS);
    let texts: Vec<_> = errors.filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The first line of a text that is neither markup nor data for programs.
fn line(body: &[u8]) -> Option<String> {
    let start = body.get(..body.len().min(MAX_LOOK))?;
    let text = String::from_utf8_lossy(start);
    let line = text.trim_start().lines().next()?.trim();
    let is_text = !line.is_empty() && !line.starts_with(['<', '{', '[']);
    is_text.then(|| line.to_owned())
}

/// The text without characters that could move a terminal's cursor, and of limited length.
fn plain(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    let mut plain: String = text.chars().map(visible).take(MAX_WORDS).collect();
    plain.truncate(plain.trim_end_matches(['.', ' ']).len());
    plain
}
