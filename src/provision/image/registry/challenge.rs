//! The challenge of a registry that wants a token instead of a password.
//!
//! Owns how the challenge is parsed (RFC 9110, section 11; the distribution project's
//! `docs/spec/auth/token.md`), and the query for the token. `place.rs` decides which service may be
//! asked.

use std::fmt::Write as _;

/// Where to get a token, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The URL of the token service.
    pub realm: String,
    /// The registry's name at that service.
    pub service: Option<String>,
    /// What the token has to allow.
    pub scope: Option<String>,
}

/// Parses a `WWW-Authenticate` header; `None` if it is no valid `Bearer` challenge.
pub fn bearer(header: &str) -> Option<Challenge> {
    let (scheme, mut rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    while let Some((name, value, after)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge {
        realm: realm?,
        service,
        scope,
    })
}

/// The first `name=value` or `name="value"`, and the text after its comma.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => bare(rest),
    };
    Some((
        name.trim(),
        value,
        rest.trim_start_matches([',', ' ', '\t']),
    ))
}

/// The text up to the comma, and the rest from there.
fn bare(text: &str) -> (String, &str) {
    let (value, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
    (value.trim_end().to_owned(), rest)
}

/// The text up to the closing quote, and the rest after it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// The path and query for requesting a token. `path` may have a query already.
pub fn query(path: &str, service: Option<&str>, scope: &str) -> String {
    let mut query = path.to_owned();
    let joint = if path.contains('?') { '&' } else { '?' };
    query.push(joint);
    if let Some(service) = service {
        query.push_str("service=");
        encode(&mut query, service);
        query.push('&');
    }
    query.push_str("scope=");
    encode(&mut query, scope);
    query
}

/// Appends a text, encoded as one value of a query (RFC 3986, section 2.3).
fn encode(query: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
}
