//! A `Console` that ignores all messages and cannot be asked.

use skypipe::exit::Failure;
use skypipe::provision::{Choice, Console};
use zeroize::Zeroizing;

/// Nobody is there.
pub struct Quiet;

impl Console for Quiet {
    fn begin(&mut self, _step: &str) {}

    fn done(&mut self, _detail: &str) {}

    fn say(&mut self, _sentence: &str) {}

    fn choose(&mut self, question: &str, _: &[Choice], _: &str) -> Result<usize, Failure> {
        panic!("an engine leaves no choice: {question}");
    }

    fn text(&mut self, _: &str, flag: &str) -> Result<String, Failure> {
        Err(Failure::usage(flag))
    }

    fn confirm(&mut self, question: &str) -> Result<Option<bool>, Failure> {
        panic!("there is nothing to confirm: {question}");
    }

    fn secret(&mut self, question: &str, _: &str) -> Result<Zeroizing<String>, Failure> {
        panic!("there is no secret: {question}");
    }
}
