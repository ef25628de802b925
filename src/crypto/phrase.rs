//! The phrase: six words with which a person enrolls machines.
//!
//! This module makes phrases and parses typed ones. [`super::wrapping`] owns what a phrase opens.
//!
//! The words are those of the Electronic Frontier Foundation's large list (<https://www.eff.org/dice>, CC
//! BY 4.0), without its four words that contain a hyphen, so that a hyphen can only separate words. There
//! are 7772 words, so six of them have 77.5 bits.

use std::error::Error;
use std::fmt;

use diceware_wordlists::EFF_LONG_WORDLIST;
use zeroize::Zeroizing;

/// The number of words in a phrase.
pub const WORDS: usize = 6;

/// The length of the longest word on the list, in bytes.
const LONGEST: usize = 9;

/// The number of words on the list.
const CHOICE: u16 = 7772;

/// A phrase: six words of the list in lower case, separated by single spaces.
#[derive(Clone)]
pub struct Phrase(Zeroizing<String>);

/// Why the typed text is no phrase. It reveals nothing of the text but a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhraseFault {
    /// The text has this many words.
    Count(usize),
    /// The word at this place, counted from 1, is not on the list.
    Unknown(usize),
}

impl fmt::Display for PhraseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(1) => write!(f, "the phrase has {WORDS} words, but one was given"),
            Self::Count(words) => write!(f, "the phrase has {WORDS} words, but {words} were given"),
            Self::Unknown(place) => write!(
                f,
                "word {place} is not in the word list: is it \
                                               misspelled?"
            ),
        }
    }
}

impl Error for PhraseFault {}

impl Phrase {
    /// Makes a phrase. `random` fills buffers with random bytes. It is called at least six times, and more
    /// often if draws have to be rejected to make all words equally likely.
    ///
    /// # Panics
    ///
    /// Never: there is a word for each number that is drawn.
    #[must_use]
    pub fn new(random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut phrase = Self::empty();
        for _ in 0..WORDS {
            let chosen = words().nth(choose(random));
            phrase.push(chosen.expect("the choice is among the words there are"));
        }
        phrase
    }

    /// Parses a phrase as a person types it. Anything that is no letter separates words, and case does not
    /// matter.
    ///
    /// # Errors
    ///
    /// When the text is not six words of the list. (That spares the user the wait for a phrase that is
    /// certainly wrong.)
    pub fn parse(typed: &str) -> Result<Self, PhraseFault> {
        let mut lower = Zeroizing::new(String::with_capacity(typed.len()));
        lower.push_str(typed);
        lower.make_ascii_lowercase();
        let separates = |letter: char| !letter.is_alphabetic();
        let typed = || lower.split(separates).filter(|word| !word.is_empty());
        let mut phrase = Self::empty();
        match typed().count() {
            WORDS => {}
            other => return Err(PhraseFault::Count(other)),
        }
        for (at, word) in typed().enumerate() {
            let known = words().find(|known| *known == word);
            phrase.push(known.ok_or(PhraseFault::Unknown(at + 1))?);
        }
        Ok(phrase)
    }

    /// The words, to be shown once or stretched into a key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Capacity for the longest phrase, so that no smaller buffer stays behind in memory.
    fn empty() -> Self {
        let room = WORDS * (LONGEST + 1);
        Self(Zeroizing::new(String::with_capacity(room)))
    }

    fn push(&mut self, word: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(word);
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(…)")
    }
}

fn words() -> impl Iterator<Item = &'static str> {
    let plain = |word: &&str| !word.contains('-');
    EFF_LONG_WORDLIST.iter().copied().filter(plain)
}

/// A uniformly distributed number below [`CHOICE`]. Draws that would favour the first words are rejected.
fn choose(random: &mut dyn FnMut(&mut [u8])) -> usize {
    const FAIR: u16 = u16::MAX / CHOICE * CHOICE;
    let mut drawn = Zeroizing::new([0; 2]);
    loop {
        random(&mut *drawn);
        let number = u16::from_be_bytes(*drawn);
        if number < FAIR {
            return (number % CHOICE).into();
        }
    }
}

#[cfg(test)]
mod tests;
