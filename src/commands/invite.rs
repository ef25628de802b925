//! `--invite`: creates a key for another machine and prints its invitation.

use skypipe_protocol::address::Address;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{NewKey, NewKeyring, OwnKey, PublicKey, Reply};

use crate::access::{Member, enroll, new_keyring};
use crate::cli::Invite;
use crate::crypto::Fault;
use crate::crypto::attestation::Claim;
use crate::exit::{DONE, Failure};
use crate::output;
use crate::provision::http::is_loopback;
use crate::report::{hint, notice};
use crate::session::Question;
use crate::system::{random, unix_time};

/// Prints an invitation, and returns the exit code.
///
/// # Errors
///
/// When this machine may not invite, or the satellite cannot be reached.
pub fn invite(invite: &Invite) -> Result<u8, Failure> {
    output::check()?;
    let member = Member::here(invite.data.as_deref())?;
    if let Some(public_keys) = invite.public_keys {
        return enroll::enroll(&member, invite, public_keys);
    }
    let own = member.own_key()?;
    let seed = Seed::new(random());
    let encryption = PublicKey(seed.encryption().public);
    let expires = invite
        .expires
        .map(|span| unix_time().saturating_add(span.as_secs()));
    let mut claim = Claim {
        name: &invite.name,
        encryption,
        rights: invite.rights,
        expires,
    };
    let made_up;
    if claim.name.is_empty() {
        made_up = any_name(&member)?;
        claim.name = &made_up;
    }
    let share = keys_for(&member, &own, invite, &claim)?;
    let (kind, keys) = match share {
        Some((managing, keys)) => (Kind::Keyring { managing }, Some(keys)),
        None => (Kind::Phrase, None),
    };
    let epoch = keys.as_ref().map_or(0, |keys| keys.epoch);
    let (sealed_keyring, attestation) = keys
        .map(|keys| (keys.sealed_keyring, keys.attestation))
        .unzip();
    let new = NewKey {
        name: claim.name.to_owned(),
        public: PublicKey(seed.identity().public),
        encryption,
        rights: invite.rights,
        pipes: invite.pipes.clone(),
        expires,
        quota: invite.quota,
        epoch,
        sealed_keyring,
        attestation: attestation.flatten(),
    };
    // Every step that can fail comes first, so that no key is made in vain.
    let address = address(&member, &own)?;
    let answers = member.put(Question::Invite(new))?;
    let name = answers.iter().find_map(|answer| match answer {
        Reply::Invited { name } => Some(name),
        _ => None,
    });
    let name = name.ok_or_else(|| Failure::failed("the satellite did not confirm the new key"))?;
    let token = Token {
        address,
        kind,
        satellite: member.token.satellite,
        seed,
        expires,
    };
    let mut line = token.encode();
    line.push('\n');
    output::hand_over(&line).map_err(|fault| member.take_back(name, &fault))?;
    let how = match kind {
        Kind::Phrase => "which asks for the phrase",
        Kind::Keyring { .. } | Kind::Owner => "or set SATELLITE to it",
    };
    notice(&format!(
        "paste the line above into skypipe --join on the other machine, {how}; whoever has it can \
         use the satellite as {name}"
    ));
    if kind == Kind::Phrase && is_loopback(&token.address.host) {
        hint(&format!(
            "it names {}, which only this machine can reach: replace it with the satellite's own \
             name, or start the satellite with --public",
            token.address.host
        ));
    }
    Ok(DONE)
}

/// A name for a key that was given none. The client chooses it, because the attestation contains it.
fn any_name(member: &Member) -> Result<String, Failure> {
    let keys = member.keys()?.keys;
    let name = format!("key-{}", keys.len() + 1);
    Ok(enroll::free_name(&name, &keys))
}

/// The keys that an invited machine needs to open pipes, and their attestation: the managing key's public
/// key and a sealed keyring. An inviter without these keys, as on the satellite's own machine, leaves them
/// to the phrase.
fn keys_for(
    member: &Member,
    own: &OwnKey,
    invite: &Invite,
    claim: &Claim<'_>,
) -> Result<Option<([u8; 32], NewKeyring)>, Failure> {
    if let Err(Fault::NoKeyring) = member.identity.keyring(own.sealed_keyring.as_deref()) {
        let reads_all = (invite.rights.read || invite.rights.manage) && invite.pipes.is_empty();
        if !reads_all {
            return Err(Failure::usage(
                "this machine has no keys to pass on, so it can only invite machines that know \
                 the phrase, which is for those that may read all pipes: run this on a machine \
                 that has joined",
            ));
        }
        return Ok(None);
    }
    let (keyring, managing) = member.manages(own)?;
    let new = new_keyring(claim, &keyring, &managing, None)?;
    Ok(Some((managing.public, new)))
}

/// The address for the invitation: the one that the satellite reports, or else the one that this machine
/// uses.
fn address(member: &Member, own: &OwnKey) -> Result<Address, Failure> {
    let Some(address) = &own.address else {
        return Ok(member.token.address.clone());
    };
    let address = address.parse();
    address.map_err(|_| Failure::failed("the satellite's address is invalid"))
}
