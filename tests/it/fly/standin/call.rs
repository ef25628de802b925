//! A request as handlers see it.
//!
//! Owns how paths, queries and bodies are parsed. Parsing is strict: what is not documented is
//! refused.

use serde::de::DeserializeOwned;

use super::answer::Refusal;

/// An authorized request.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The path's parts, decoded: `["v1", "apps", …]`.
    pub parts: Vec<String>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// Parses a URL.
    pub fn new(method: &str, url: &str, body: Vec<u8>) -> Self {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let parts = path.trim_matches('/').split('/').map(decode).collect();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(&value.replace('+', " ")))
            })
            .collect();
        Self {
            method: method.to_owned(),
            parts,
            query,
            body,
        }
    }

    /// The app that the path names.
    pub fn app(&self) -> &str {
        self.parts.get(2).map_or("", String::as_str)
    }

    /// The machine that the path names.
    pub fn item(&self) -> &str {
        self.parts.get(4).map_or("", String::as_str)
    }

    /// All values of a query parameter.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let same = self.query.iter().filter(|(key, _)| key == name);
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// A query parameter that may appear at most once.
    pub fn value(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.values(name).as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(Refusal::malformed(
                400,
                format!("{name} is given more than once"),
            )),
        }
    }

    /// A boolean query parameter; false if it is missing.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.value(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Refusal::malformed(
                400,
                format!("{name}={other} is no boolean"),
            )),
        }
    }

    /// A numeric query parameter.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(name)? else {
            return Ok(None);
        };
        let wrong = || Refusal::malformed(400, format!("{name}={value} is no number"));
        value.parse().map(Some).map_err(|_| wrong())
    }

    /// The body as this type. An unknown field, a missing field or a wrong type is refused.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::malformed(400, format!("json: {error}")))
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
