//! Authentication: the `Authorization` header.
//!
//! Owns the two schemes: `Bearer` for plain tokens, `FlyV1` for macaroons, which are separated by
//! commas (fly-go, `tokens/tokens.go`). Never repeats a token.

use super::answer::Refusal;

/// The prefixes of macaroons (fly-go, `tokens/tokens.go`).
const MACAROONS: [&str; 3] = ["fm1r_", "fm1a_", "fm2_"];

/// The error for a token that is expired or is not this account's.
pub const UNKNOWN: &str = "Authenticate: token validation error";

/// Checks a header against the account's token.
pub fn check(header: Option<&str>, token: &str, expired: bool) -> Result<(), Refusal> {
    let Some(header) = header else {
        return Err(Refusal::malformed(401, "missing Authorization header"));
    };
    let given = header.split_once(' ');
    let Some((scheme, given)) = given.filter(|(_, given)| well_formed(given)) else {
        return Err(Refusal::malformed(401, "malformed Authorization header"));
    };
    let macaroons = given.split(',').filter(|part| is_macaroon(part)).count();
    match scheme {
        "Bearer" if macaroons > 0 => {
            return Err(Refusal::malformed(
                401,
                "a macaroon goes with the scheme FlyV1, not Bearer",
            ));
        }
        "Bearer" => {}
        "FlyV1" if macaroons == given.split(',').count() => {}
        "FlyV1" => {
            return Err(Refusal::malformed(
                401,
                "the scheme FlyV1 is for macaroons only",
            ));
        }
        other => return Err(Refusal::malformed(401, format!("unknown scheme {other}"))),
    }
    if expired || given != token {
        Err(Refusal::new(401, UNKNOWN))
    } else {
        Ok(())
    }
}

fn is_macaroon(token: &str) -> bool {
    MACAROONS.iter().any(|prefix| token.starts_with(prefix))
}

/// Whether a text has the form of a token: no white space in it, no empty part.
fn well_formed(given: &str) -> bool {
    given.bytes().all(|byte| byte.is_ascii_graphic())
        && given.split(',').all(|part| !part.is_empty())
}
