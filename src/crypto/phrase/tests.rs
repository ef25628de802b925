use std::collections::HashSet;

use proptest::prelude::*;
use ring::digest::{SHA256, digest};

use super::*;

/// A random source that returns these numbers, one after the other.
fn drawing(numbers: &[u16]) -> impl FnMut(&mut [u8]) {
    let mut numbers = numbers.iter();
    move |buffer| buffer.copy_from_slice(&numbers.next().unwrap().to_be_bytes())
}

fn parsed(typed: &str) -> Result<String, PhraseFault> {
    Phrase::parse(typed).map(|phrase| phrase.as_str().to_owned())
}

#[test]
fn the_words_are_fit_for_phrases() {
    let all: Vec<_> = words().collect();
    assert_eq!(all.len(), usize::from(CHOICE));
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    for word in &all {
        assert!((3..=LONGEST).contains(&word.len()), "{word}");
        assert!(
            word.bytes().all(|letter| letter.is_ascii_lowercase()),
            "{word}"
        );
    }
    let bits = 6.0 * f64::from(CHOICE).log2();
    assert!((77.5..77.6).contains(&bits));
}

/// The hash of `eff_large_wordlist.txt` without its numbers and its four words with a hyphen, the lines
/// separated by line ends. (That of the whole file is addd3553…996b903e.)
#[test]
fn the_words_are_those_of_the_list() {
    let all = words().collect::<Vec<_>>().join("\n");
    let hash = digest(&SHA256, all.as_bytes());
    let hex: Vec<_> = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex.concat(),
        "76e3348ad957cad7d9c5c68873e89410ed998c19f4956367ab52d9aec4eee884"
    );
}

/// Draws every two-byte number once. Each word comes up equally often, and the numbers that would spoil
/// this are drawn again.
#[test]
fn all_words_are_equally_likely() {
    let mut times = vec![0; usize::from(CHOICE)];
    let mut thrown_away = 0;
    for number in 0..=u16::MAX {
        let mut draws = 0;
        let chosen = choose(&mut |buffer| {
            draws += 1;
            let given = if draws == 1 { number } else { 0 };
            buffer.copy_from_slice(&given.to_be_bytes());
        });
        if draws == 1 {
            times[chosen] += 1;
        } else {
            assert_eq!((draws, chosen), (2, 0));
            thrown_away += 1;
        }
    }
    assert!(times.iter().all(|times| *times == 8));
    assert_eq!(thrown_away, 65536 - 8 * 7772);
}

#[test]
fn a_phrase_is_six_words_as_drawn() {
    let phrase = Phrase::new(&mut drawing(&[
        0, 65535, 7771, 7772, 62175, 62176, 256, 7740,
    ]));
    assert_eq!(phrase.as_str(), "abacus zoom abacus zoom appealing yiddish");
}

#[test]
fn case_spaces_and_hyphens_do_not_matter() {
    let phrase = "abacus zoom unicorn wobble yoyo zipping";
    for typed in [
        phrase,
        "ABACUS Zoom unicorn Wobble yoyo zipping",
        "  abacus   zoom\tunicorn wobble\r\nyoyo zipping\n",
        "abacus-zoom-unicorn-wobble-yoyo-zipping",
        "abacus - zoom – unicorn—wobble_yoyo, zipping.",
        "1. abacus 2. zoom 3. unicorn 4. wobble 5. yoyo 6. zipping",
    ] {
        assert_eq!(parsed(typed), Ok(phrase.to_owned()), "{typed}");
    }
}

#[test]
fn what_is_no_phrase_is_told() {
    for (typed, words) in [
        ("", 0),
        (" - ", 0),
        ("abacus", 1),
        ("abacus zoom unicorn wobble yoyo", 5),
        ("abacus zoom unicorn wobble yo-yo zipping", 7),
    ] {
        assert_eq!(parsed(typed), Err(PhraseFault::Count(words)));
    }
    for (typed, place) in [
        ("abacsu zoom unicorn wobble yoyo zipping", 1),
        ("abacus zoom unicorn wobbel yoyo zipping", 4),
        ("abacus zoom unicorn wobble yoyo zippin", 6),
        ("abacus zoom unicorn wobble yoyo zippïng", 6),
    ] {
        assert_eq!(parsed(typed), Err(PhraseFault::Unknown(place)));
    }
    for fault in [PhraseFault::Count(1), PhraseFault::Count(7)] {
        assert!(fault.to_string().starts_with("the phrase has 6 words, but"));
    }
}

#[test]
fn no_buffer_is_outgrown() {
    let longest = "abruptly-abdominal-abdominal-abdominal-abdominal-abdominal";
    let phrase = Phrase::parse(longest).unwrap();
    assert_eq!(phrase.0.capacity(), Phrase::empty().0.capacity());
    let shortest = Phrase::new(&mut |buffer| buffer.fill(0));
    assert_eq!(shortest.0.capacity(), Phrase::empty().0.capacity());
}

#[test]
fn nothing_of_a_phrase_is_printed() {
    let phrase = Phrase::new(&mut |buffer| buffer.fill(0));
    assert_eq!(format!("{phrase:?}"), "Phrase(…)");
}

proptest! {
    #[test]
    fn what_is_made_can_be_typed(mut random: [u16; 32]) {
        // A number is rarely drawn again, and never 26 times.
        random[26..].fill(0);
        let phrase = Phrase::new(&mut drawing(&random));
        prop_assert_eq!(phrase.as_str().split(' ').count(), WORDS);
        let typed = phrase.as_str().to_uppercase().replace(' ', "-");
        prop_assert_eq!(parsed(&typed), Ok(phrase.as_str().to_owned()));
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(typed in "\\PC*") {
        prop_assert!(Phrase::parse(&typed).is_err());
    }
}
