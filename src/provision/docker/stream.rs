//! The two kinds of stream in an engine's answers: frames of output, and JSON lines about progress.
//!
//! Owns their formats. The input is not trusted: lengths are checked, and text for people loses its
//! control characters.

use serde::Deserialize;

/// The longest text of an engine that is shown, in characters.
const MAX_WORDS: usize = 2000;

/// The output of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The command's stdout.
    pub stdout: Vec<u8>,
    /// The command's stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Parses frames. A frame is a byte (1 for stdout, 2 for stderr), three zeros, the length in
    /// four bytes (big endian), and that many bytes. The Engine API documents the format at "attach
    /// to a container".
    ///
    /// # Errors
    ///
    /// When the input is invalid or incomplete.
    pub fn read(mut bytes: &[u8]) -> Result<Self, String> {
        let mut output = Self::default();
        while !bytes.is_empty() {
            let (head, rest) = bytes
                .split_first_chunk::<8>()
                .ok_or("the engine's output breaks off")?;
            let [kind, 0, 0, 0, a, b, c, d] = *head else {
                return Err("the engine's output makes no sense".to_owned());
            };
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            let (frame, rest) = rest
                .split_at_checked(length)
                .ok_or("the engine's output breaks off")?;
            match kind {
                // Echoed input has kind 0.
                0 | 1 => output.stdout.extend_from_slice(frame),
                2 => output.stderr.extend_from_slice(frame),
                _ => return Err("the engine's output makes no sense".to_owned()),
            }
            bytes = rest;
        }
        Ok(output)
    }
}

/// A line about the progress of a load or a pull.
#[derive(Debug, Deserialize)]
struct Line {
    stream: Option<String>,
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    message: Option<String>,
}

/// Parses the answer to a load or a pull. Returns the name of the loaded image if the answer tells
/// one.
///
/// # Errors
///
/// When the answer reports an error. The status is 200 even then, because the head was sent before
/// the error happened.
pub fn loaded(answer: &[u8]) -> Result<Option<String>, String> {
    let mut name = None;
    for line in serde_json::Deserializer::from_slice(answer).into_iter::<Line>() {
        let line = line.map_err(|_| "the engine's answer makes no sense".to_owned())?;
        if let Some(error) = line.error.or(line.detail.and_then(|detail| detail.message)) {
            return Err(words(error.as_bytes()));
        }
        let said = line.stream.unwrap_or_default();
        let named = ["Loaded image: ", "Loaded image ID: "]
            .iter()
            .find_map(|mark| said.strip_prefix(mark));
        name = named.map(|named| named.trim().to_owned()).or(name);
    }
    Ok(name)
}

/// An engine's text, for people: its `message` if it is JSON, limited in length, without characters
/// that a terminal would act upon.
#[must_use]
pub fn words(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = serde_json::from_slice(answer).map_or_else(
        |_| String::from_utf8_lossy(answer).into_owned(),
        |Message { message }| message,
    );
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines = lines
        .map(|line| line.replace(char::is_control, " "))
        .collect::<Vec<_>>();
    lines.dedup();
    let text = lines.join("; ");
    match text.chars().count().checked_sub(MAX_WORDS) {
        // The end says more than the beginning.
        Some(over) if over > 0 => text.chars().skip(over).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u32, text: &[u8]) -> Vec<u8> {
        let head = [&[kind, 0, 0, 0], length.to_be_bytes().as_slice()].concat();
        [head, text.to_vec()].concat()
    }

    #[test]
    fn frames_are_sorted() {
        let bytes = [
            frame(1, 3, b"out"),
            frame(2, 3, b"err"),
            frame(1, 0, b""),
            frame(1, 1, b"!"),
        ]
        .concat();
        let output = Output::read(&bytes).expect("it is whole");
        assert_eq!(output.stdout, b"out!");
        assert_eq!(output.stderr, b"err");
        assert_eq!(
            Output::read(b"").expect("nothing is whole"),
            Output::default()
        );
    }

    #[test]
    fn frames_that_lie_are_refused() {
        assert!(Output::read(&frame(1, 4, b"abc")).is_err());
        assert!(Output::read(&frame(1, u32::MAX, b"abc")).is_err());
        assert!(Output::read(&frame(3, 3, b"abc")).is_err());
        assert!(Output::read(b"\x01\0\0").is_err());
        assert!(Output::read(b"plain text, not frames").is_err());
    }

    #[test]
    fn the_name_is_read_from_the_progress() {
        let podman = b"{\"stream\":\"Loaded image: localhost/a:1\"}\n";
        assert_eq!(loaded(podman), Ok(Some("localhost/a:1".to_owned())));
        let docker =
            b"{\"status\":\"Loading layer\",\"progressDetail\":{\"current\":1},\"id\":\"x\"}\r\n\
            {\"stream\":\"Loaded image ID: sha256:ab\\n\"}\r\n";
        assert_eq!(loaded(docker), Ok(Some("sha256:ab".to_owned())));
        assert_eq!(loaded(b""), Ok(None));
    }

    #[test]
    fn an_error_amid_the_progress_is_one() {
        let answer = b"{\"status\":\"Pulling\"}\n{\"errorDetail\":{\"message\":\"denied\"},\"error\":\"denied\"}\n";
        assert_eq!(loaded(answer), Err("denied".to_owned()));
        assert_eq!(
            loaded(b"{\"errorDetail\":{\"message\":\"no\"}}"),
            Err("no".to_owned())
        );
        assert!(loaded(b"<html>").is_err());
    }

    #[test]
    fn words_are_harmless() {
        assert_eq!(
            words(b"{\"cause\":\"x\",\"message\":\"it\\u001b[31m is\\nbad\",\"response\":500}"),
            "it [31m is; bad"
        );
        assert_eq!(words(b"same\nsame\n\n"), "same");
        assert_eq!(words("x".repeat(5000).as_bytes()).len(), MAX_WORDS);
    }
}
