//! Six words by which a person lets machines in.
//!
//! Owns how a phrase is made and how it is read when typed. What it opens is the business of
//! [`super::wrapping`].
//!
//! The words are those of the Electronic Frontier Foundation's large list
//! (<https://www.eff.org/dice>, CC BY 4.0), without the four that have a hyphen in them, so that
//! a hyphen can only lie between words. There are 7772, and so 77.5 bits in six of them.

use std::error::Error;
use std::fmt;

use diceware_wordlists::EFF_LONG_WORDLIST;
use zeroize::Zeroizing;

/// How many words a phrase has.
pub const WORDS: usize = 6;

/// The most bytes of a word on the list.
const LONGEST: usize = 9;

/// How many words there are to choose from.
const CHOICE: u16 = 7772;

/// A phrase: six words of the list in lower case, a space between each two.
#[derive(Clone)]
pub struct Phrase(Zeroizing<String>);

/// Why what was typed is no phrase. It says nothing of what was typed but a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhraseFault {
    /// There are so many words in it.
    Count(usize),
    /// The word at this place, counted from 1, is not on the list.
    Unknown(usize),
}

impl fmt::Display for PhraseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(1) => write!(f, "the phrase has {WORDS} words, and this is one"),
            Self::Count(words) => write!(f, "the phrase has {WORDS} words, and these are {words}"),
            Self::Unknown(place) => write!(f, "no phrase has word {place} in it: is it misspelt?"),
        }
    }
}

impl Error for PhraseFault {}

impl Phrase {
    /// Makes a phrase. `random` fills buffers with random bytes and is called at least six times;
    /// more often now and then, as it takes to make all words equally likely.
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

    /// Reads a phrase as a person types it: whatever is no letter separates words, and case does
    /// not matter.
    ///
    /// # Errors
    ///
    /// When it is not made of six words of the list. (That saves a person the wait for what would
    /// be the wrong phrase anyway.)
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

    /// The words, to be shown once or to be stretched.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With room for the longest phrase, so that no smaller buffer is left behind.
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

/// A number below [`CHOICE`], each as likely as any other: draws that would favour the first words
/// are thrown away.
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
