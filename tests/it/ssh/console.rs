//! A `Console` that records what a person would be told.

use skypipe::exit::Failure;
use skypipe::provision::{Choice, Console};
use zeroize::Zeroizing;

/// Records all messages, and answers no question.
#[derive(Debug, Default)]
pub struct Notes {
    /// The steps that were begun.
    pub steps: Vec<String>,
    /// The messages.
    pub said: Vec<String>,
}

impl Notes {
    /// Whether a message contains these words.
    pub fn mention(&self, words: &str) -> bool {
        self.said.iter().any(|sentence| sentence.contains(words))
    }
}

impl Console for Notes {
    fn begin(&mut self, step: &str) {
        self.steps.push(step.to_owned());
    }

    fn done(&mut self, _detail: &str) {}

    fn say(&mut self, sentence: &str) {
        self.said.push(sentence.to_owned());
    }

    fn choose(&mut self, _: &str, _: &[Choice], flag: &str) -> Result<usize, Failure> {
        Err(Failure::usage(format!("give {flag}")))
    }

    fn text(&mut self, _: &str, flag: &str) -> Result<String, Failure> {
        Err(Failure::usage(flag))
    }

    fn confirm(&mut self, _: &str) -> Result<Option<bool>, Failure> {
        Ok(None)
    }

    fn secret(&mut self, _: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
        Err(Failure::usage(instead))
    }
}
