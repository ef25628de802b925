//! `--phrase` and `--no-phrase`: whether machines can join with only an access key and a phrase.

use skypipe_protocol::PublicKey;
use skypipe_protocol::seed::Seed;
use skypipe_satellite::randomness;

use crate::access::{Member, seal_for_phrase};
use crate::crypto::phrase::Phrase;
use crate::crypto::wrapping::Wrapped;
use crate::exit::{DONE, Failure};
use crate::output;
use crate::report::notice;
use crate::session::Question;
use crate::system::random;

/// Makes a phrase that replaces the previous one, prints it, and returns the exit code.
///
/// # Errors
///
/// When this machine may not, or the satellite cannot be reached.
///
/// # Panics
///
/// When the system gives no randomness, without which nothing here is safe.
pub fn renew() -> Result<u8, Failure> {
    output::check()?;
    let member = Member::here(None)?;
    let (keyring, managing) = member.manages(&member.own_key()?)?;
    let phrase = Phrase::new(&mut |bytes| {
        randomness::fill(bytes).expect("the system gave randomness at the start");
    });
    let seed = Seed::new(random());
    let mut salt = [0; 16];
    salt.copy_from_slice(&random().as_bytes()[..16]);
    let wrapped = Wrapped::new(&phrase, salt, &seed, &managing.public)
        .map_err(|fault| Failure::failed(fault.to_string()))?;
    let wrapped = wrapped.to_bytes().into();
    let kept = seal_for_phrase(
        &keyring,
        &managing,
        wrapped,
        PublicKey(seed.encryption().public),
    )?;
    // The phrase is printed first: a phrase that nobody saw must not be set.
    let shown = output::hand_over(&format!("{}\n", phrase.as_str()));
    shown.map_err(|fault| Failure {
        sentence: format!("{fault}: there is no new phrase, and the one before is still valid"),
        ..fault
    })?;
    let set = member.put(Question::SetPhrase(keyring.newest().number, Some(kept)));
    set.map_err(|fault| Failure {
        sentence: format!("{fault}: the phrase above is not valid, and the one before still is"),
        ..fault
    })?;
    notice(
        "write these six words down, because they are not shown again: a machine can join with \
         them and an access key",
    );
    Ok(DONE)
}

/// Removes the phrase, and returns the exit code.
///
/// # Errors
///
/// When this machine may not, or the satellite cannot be reached.
pub fn remove() -> Result<u8, Failure> {
    Member::here(None)?.put(Question::SetPhrase(0, None))?;
    notice("the phrase is removed: machines can join only with an invitation");
    Ok(DONE)
}
