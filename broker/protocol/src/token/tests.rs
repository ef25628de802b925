use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::address::Transport;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn seed() -> Seed {
    Seed::new(Secret::new(std::array::from_fn(|at| {
        u8::try_from(at).unwrap()
    })))
}

fn token(kind: Kind) -> Token {
    Token {
        address: Address::tcp("sky.example.org", 9000),
        kind,
        satellite: [0x5a; LENGTH],
        seed: seed(),
        expires: (kind != Kind::Owner).then_some(1_800_000_000),
    }
}

const KEYRING: Kind = Kind::Keyring {
    managing: [7; LENGTH],
};

/// The text of a token with this binary part, which includes the checksum.
fn text_of(binary: &[u8]) -> String {
    format!(
        "skypipe://sky:9000/{}",
        Base64UrlUnpadded::encode_string(binary)
    )
}

/// The text of a token with this binary part, to which the right checksum is added.
fn summed(binary: &[u8]) -> String {
    let sum = crc32fast::hash(binary).to_be_bytes();
    text_of(&[binary, &sum].concat())
}

/// Invitations are printed by one version and used by another. The texts were computed independently of this
/// code.
#[test]
fn the_text_of_each_kind_stays() {
    for (kind, secret) in [
        (
            Kind::Owner,
            "AQFaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWgABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhsc\
             HR4fp8c0AluGjMT01qv3zfoddRyIu7AQ_ICtsBrik--9dQ4AAAAAAAAAABacuVA",
        ),
        (
            KEYRING,
            "AQBaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWgABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhsc\
             HR4fBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcAAAAAa0nSAACLiQc",
        ),
        (
            Kind::Phrase,
            "AQJaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWgABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhsc\
             HR4fAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAa0nSAD-OEH4",
        ),
    ] {
        let text = format!("skypipe://sky.example.org:9000/{secret}");
        assert_eq!(*token(kind).encode(), text);
        assert_eq!(Token::parse(&text), Ok(token(kind)));
    }
}

#[test]
fn an_invitation_names_the_managing_key_unless_it_is_for_the_phrase() {
    let managing = |kind| token(kind).managing();
    assert_eq!(managing(KEYRING), Some([7; LENGTH]));
    assert_eq!(managing(Kind::Owner), Some(seed().managing().public));
    assert_eq!(managing(Kind::Phrase), None);
}

#[test]
fn white_space_around_does_not_matter_but_inside_it_does() {
    let text = token(KEYRING).encode();
    let around = format!("\n  {}\r\n", *text);
    assert_eq!(Token::parse(&around), Ok(token(KEYRING)));
    for at in "skypipe://".len() + 1..text.len() {
        for space in [" ", "\n", "\r\n", "\t", "\u{a0}"] {
            let (left, right) = text.split_at(at);
            let broken = format!("{left}{space}{right}");
            assert_eq!(Token::parse(&broken), Err(TokenFault::Broken));
        }
    }
}

#[test]
fn the_address_can_be_edited() {
    for (address, host, port) in [
        ("other:1", "other", 1),
        ("192.0.2.1:65535", "192.0.2.1", 65535),
        ("[2001:db8::1]:9000", "[2001:db8::1]", 9000),
        ("a_b-c.example.:80", "a_b-c.example.", 80),
    ] {
        let text = token(KEYRING).encode();
        let edited = text.replace("sky.example.org:9000", address);
        let parsed = Token::parse(&edited).unwrap();
        assert_eq!(parsed.address, Address::tcp(host, port));
        assert_eq!(*parsed.encode(), edited);
    }
}

#[test]
fn addresses_that_make_no_sense_are_told() {
    for address in [
        "",
        ":",
        "sky",
        "sky:",
        ":9000",
        "sky:0",
        "sky:65536",
        "sky:+1",
        "sky:9x",
        "::1:9000",
        "[::1]",
        "[::1:9000",
        "::1]:9000",
        "[sky]:9000",
        "[]:9000",
        "1.2.3:9000",
        "1.2.3.256:9000",
        "sky..org:9000",
        ".sky:9000",
        "me@sky:9000",
        "sky?:9000",
        "münchen:9000",
        "sky:9000:9000",
    ] {
        let text = token(KEYRING)
            .encode()
            .replace("sky.example.org:9000", address);
        assert_eq!(Token::parse(&text), Err(TokenFault::Address), "{address}");
    }
}

#[test]
fn what_is_no_invitation_is_told_so() {
    for text in [
        "",
        "hello",
        "tcp://sky:9000",
        "skypipe:/sky:9000/AA",
        "http://sky/",
    ] {
        assert_eq!(Token::parse(text), Err(TokenFault::Foreign));
    }
    for text in [
        "skypipe://sky:9000",
        "skypipe://sky:9000/",
        "skypipe://sky:9000/AQ",
    ] {
        assert_eq!(Token::parse(text), Err(TokenFault::Mangled));
    }
}

/// Tries all 63 other characters of the alphabet, and some beyond it, at each position.
#[test]
fn every_changed_character_is_noticed() {
    let text = token(KEYRING).encode();
    let start = text.rfind('/').unwrap() + 1;
    for at in start..text.len() {
        for &other in ALPHABET.iter().chain(b"+/=.~\0") {
            let mut bytes = text.as_bytes().to_vec();
            if bytes[at] == other {
                continue;
            }
            bytes[at] = other;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(Token::parse(&changed), Err(TokenFault::Mangled));
        }
    }
}

#[test]
fn every_missing_or_added_character_is_noticed() {
    let text = token(KEYRING).encode();
    let start = text.rfind('/').unwrap() + 1;
    for at in start..text.len() {
        let cut = Token::parse(&text[..at]);
        assert_eq!(cut, Err(TokenFault::Mangled));
        let without = [&text[..at], &text[at + 1..]].concat();
        assert_eq!(Token::parse(&without), Err(TokenFault::Mangled));
        let with = [&text[..at], "A", &text[at..]].concat();
        assert_eq!(Token::parse(&with), Err(TokenFault::Mangled));
    }
    let endless = format!("{}{}", *text, "A".repeat(1 << 20));
    assert_eq!(Token::parse(&endless), Err(TokenFault::Mangled));
}

#[test]
fn other_versions_are_told_whatever_they_hold() {
    let binary = token(KEYRING).binary();
    let (rest, _) = binary.split_last_chunk::<CHECKSUM>().unwrap();
    for version in [0, 2, 255] {
        let mut other = rest.to_vec();
        other[0] = version;
        assert_eq!(Token::parse(&summed(&other)), Err(TokenFault::Version));
        assert_eq!(Token::parse(&summed(&[version])), Err(TokenFault::Version));
        other.extend([1; 100]);
        assert_eq!(Token::parse(&summed(&other)), Err(TokenFault::Version));
    }
}

#[test]
fn parts_that_do_not_fit_together_are_told() {
    let with = |kind: Kind, change: fn(&mut Vec<u8>)| {
        let binary = token(kind).binary();
        let (rest, _) = binary.split_last_chunk::<CHECKSUM>().unwrap();
        let mut rest = rest.to_vec();
        change(&mut rest);
        Token::parse(&summed(&rest))
    };
    let wrong = Err(TokenFault::Content);
    assert!(with(KEYRING, |_| {}).is_ok());
    for kind in [KEYRING, Kind::Owner, Kind::Phrase] {
        assert_eq!(with(kind, |binary| binary[1] = 3), wrong);
        assert_eq!(with(kind, |binary| binary.push(0)), wrong);
        assert_eq!(with(kind, |binary| binary.truncate(40)), wrong);
        assert_eq!(with(kind, |binary| binary.truncate(1)), wrong);
    }
    assert_eq!(with(KEYRING, |binary| binary[66..98].fill(0)), wrong);
    assert_eq!(with(KEYRING, |binary| binary[1] = 1), wrong);
    assert_eq!(with(KEYRING, |binary| binary[1] = 2), wrong);
    assert_eq!(with(Kind::Owner, |binary| binary[66] ^= 1), wrong);
    assert_eq!(with(Kind::Phrase, |binary| binary[66] = 1), wrong);
}

#[test]
fn nothing_secret_is_printed() {
    let token = token(KEYRING);
    let printed = format!("{token:?}");
    assert!(printed.contains("Seed(Secret(…))"));
    assert!(!printed.contains(&format!("{:?}", token.seed.secret().as_bytes())));
}

prop_compose! {
    fn tokens()(
        transport in prop_oneof![
            Just(Transport::Tcp),
            Just(Transport::Tls),
            "/[a-z]{0,5}(/[a-z0-9]{1,5}){0,2}".prop_map(|path| Transport::WebSocket {
                path: format!("/{}", path.trim_matches('/')),
            }),
        ],
        host in prop_oneof![
            Just("localhost".to_owned()),
            Just("192.0.2.7".to_owned()),
            Just("[::1]".to_owned()),
            "[a-z][a-z0-9]{0,20}(\\.[a-z]{2,5}){0,3}",
        ],
        port in 1..=u16::MAX,
        kind in prop_oneof![Just(KEYRING), Just(Kind::Owner), Just(Kind::Phrase)],
        satellite: [u8; LENGTH],
        seed: [u8; LENGTH],
        expires in proptest::option::of(1..=u64::MAX),
    ) -> Token {
        let address = Address { transport, host, port };
        Token { address, kind, satellite, seed: Seed::new(Secret::new(seed)), expires }
    }
}

/// Whether `message` contains eight consecutive characters of the secret part of `text`. (Fewer would occur
/// by chance once in a while.)
fn repeats(message: &str, text: &str) -> bool {
    let secret = text.rsplit('/').next().unwrap_or("");
    let secret: Vec<char> = secret.chars().collect();
    secret
        .windows(8)
        .any(|piece| message.contains(&piece.iter().collect::<String>()))
}

proptest! {
    #[test]
    fn what_is_encoded_is_parsed(token in tokens()) {
        let text = token.encode();
        prop_assert_eq!(text.capacity(), text.len());
        prop_assert_eq!(Token::parse(&text), Ok(token));
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in "\\PC*") {
        prop_assert!(Token::parse(&text).is_err());
    }

    #[test]
    fn any_secret_part_is_parsed_without_a_panic(
        text in "skypipe://sky:9000/[A-Za-z0-9_=/-]{0,1100}",
    ) {
        prop_assert!(Token::parse(&text).is_err());
    }

    #[test]
    fn any_bytes_with_a_checksum_are_parsed_without_a_panic(
        mut binary in vec(any::<u8>(), 1..800),
    ) {
        binary[0] %= 2;
        let text = summed(&binary);
        if let Ok(token) = Token::parse(&text) {
            prop_assert_eq!(&*token.encode(), &text);
        }
    }

    #[test]
    fn a_fault_says_nothing_of_the_text(
        token in tokens(),
        at in 0..140_usize,
        other in 0..64_usize,
    ) {
        let text = token.encode();
        let mut bytes = text.as_bytes().to_vec();
        let place = text.rfind('/').unwrap() + 1 + at;
        prop_assume!(bytes[place] != ALPHABET[other]);
        bytes[place] = ALPHABET[other];
        let fault = Token::parse(&String::from_utf8(bytes).unwrap()).unwrap_err();
        prop_assert!(!repeats(&fault.to_string(), &text));
        let debug = format!("{fault:?}");
        prop_assert!(!repeats(&debug, &text));
    }
}
