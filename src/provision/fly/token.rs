//! The token for Fly.io.
//!
//! Owns how the token is parsed, and its form in a header. The token appears in no error and in no
//! `Debug` output. The forms are those of `tokens/tokens.go` in superfly/fly-go.

use std::fmt;

use zeroize::Zeroizing;

use crate::exit::Failure;

/// The longest token that is accepted, in bytes: macaroons for some organisations, with room to
/// spare.
const MAX_TOKEN: usize = 32 << 10;

/// The shortest part of a token that is redacted in messages. A shorter one is no secret.
const SHORTEST_SECRET: usize = 6;

/// What a login at Fly.io gives: macaroons, a user's token, or both.
pub struct Token {
    macaroons: Zeroizing<String>,
    user: Zeroizing<String>,
    source: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(from {})", self.source)
    }
}

impl Token {
    /// Parses tokens, separated by commas, with or without a scheme in front. `source` says where
    /// they come from, for people.
    pub fn read(text: &str, source: &str) -> Result<Self, Failure> {
        let refuse = |what: &str| Err(Failure::usage(format!("the token from {source} {what}")));
        if text.len() > MAX_TOKEN {
            return refuse("is too long to be one");
        }
        let parts = without_scheme(text).split(',').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return refuse("is empty");
        }
        if !parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return refuse("has white space or other characters in it that no token has");
        }
        let (macaroons, user): (Vec<&str>, Vec<&str>) =
            parts.iter().partition(|part| is_macaroon(part));
        Ok(Self {
            macaroons: Zeroizing::new(macaroons.join(",")),
            user: Zeroizing::new(user.join(",")),
            source: source.to_owned(),
        })
    }

    /// Where the token comes from, for people.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The `Authorization` header for the Machines API: the macaroons, or the user's token if there
    /// are none.
    pub fn header(&self) -> Zeroizing<String> {
        let scheme = if self.macaroons.is_empty() {
            "Bearer"
        } else {
            "FlyV1"
        };
        Zeroizing::new(format!("{scheme} {}", self.password().as_str()))
    }

    /// The `Authorization` header for GraphQL, the only API that accepts both kinds at once.
    pub fn graphql_header(&self) -> Zeroizing<String> {
        if self.macaroons.is_empty() || self.user.is_empty() {
            return self.header();
        }
        let (macaroons, user) = (self.macaroons.as_str(), self.user.as_str());
        Zeroizing::new(format!("FlyV1 {macaroons},{user}"))
    }

    /// The password for the registry: the header's value without the scheme.
    pub fn password(&self) -> Zeroizing<String> {
        if self.macaroons.is_empty() {
            self.user.clone()
        } else {
            self.macaroons.clone()
        }
    }

    /// Removes the parts of the token from a text, in case a server repeats them.
    pub fn redact(&self, text: &str) -> String {
        let parts = self.macaroons.split(',').chain(self.user.split(','));
        let secrets = parts.filter(|part| part.len() >= SHORTEST_SECRET);
        secrets.fold(text.to_owned(), |text, secret| {
            text.replace(secret, "(token)")
        })
    }
}

/// The token without a scheme. Some users give the whole header's value, and flyctl accepts it too.
fn without_scheme(text: &str) -> &str {
    let text = text.trim();
    match text.split_once(' ') {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("FlyV1") =>
        {
            without_scheme(rest)
        }
        _ => text,
    }
}

fn is_macaroon(token: &str) -> bool {
    ["fm1r_", "fm1a_", "fm2_"]
        .iter()
        .any(|prefix| token.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_goes_in_its_own_form() {
        let cases = [
            ("fo1_abcdef", "Bearer fo1_abcdef", "fo1_abcdef"),
            ("Bearer fo1_abcdef\n", "Bearer fo1_abcdef", "fo1_abcdef"),
            (
                "fm2_abc,fm2_def",
                "FlyV1 fm2_abc,fm2_def",
                "fm2_abc,fm2_def",
            ),
            (
                "FlyV1 fm1r_abc, fm1a_def",
                "FlyV1 fm1r_abc,fm1a_def",
                "fm1r_abc,fm1a_def",
            ),
            ("flyv1 fm2_abc,fo1_xyzxyz", "FlyV1 fm2_abc", "fm2_abc"),
        ];
        for (text, header, password) in cases {
            let token = Token::read(text, "a test").expect(text);
            assert_eq!(token.header().as_str(), header);
            assert_eq!(token.password().as_str(), password);
        }
    }

    #[test]
    fn macaroons_go_before_a_user_token() {
        let token = Token::read("fo1_user00,fm2_macaroon", "a test").expect("a token");
        assert_eq!(token.header().as_str(), "FlyV1 fm2_macaroon");
        let both = "FlyV1 fm2_macaroon,fo1_user00";
        assert_eq!(token.graphql_header().as_str(), both);
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_told() {
        let long = "a".repeat(MAX_TOKEN + 1);
        for text in [
            "",
            " \n",
            ",,",
            "fm2_se cret",
            "fm2_se\ncret",
            "fm2_se\u{7f}cret",
            "sécret",
            &long,
        ] {
            let failure = Token::read(text, "FLY_API_TOKEN").expect_err(text);
            assert_eq!(failure.code, crate::exit::USAGE);
            assert!(failure.sentence.contains("FLY_API_TOKEN"), "{failure}");
            assert!(!failure.sentence.contains("cret"), "{failure}");
        }
    }

    #[test]
    fn it_is_in_no_debug_and_is_taken_out_of_what_others_say() {
        let token = Token::read("fm2_secretsecret,fo1_other", "a test").expect("a token");
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(
            token.redact("bad fm2_secretsecret, fo1_other!"),
            "bad (token), (token)!"
        );
    }
}
