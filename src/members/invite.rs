//! `--invite`: lets another machine in.

use bytes::Bytes;
use skypipe_broker::keys::seed::Seed;
use skypipe_broker::keys::token::{Kind, Token};
use skypipe_broker::protocol::{NewKey, OwnKey, PublicKey, Reply};

use super::{Member, random, share, wall};
use crate::ask::show;
use crate::cli::Invite;
use crate::exit::Failure;
use crate::keys::{Fault, boxes};
use crate::session::Question;
use crate::tell::notice;

/// Prints an invitation, and returns the exit code.
///
/// # Errors
///
/// When this machine may not invite, or the satellite cannot be asked.
pub fn invite(invite: &Invite) -> Result<u8, Failure> {
    let member = Member::here()?;
    let own = member.own_key()?;
    let seed = Seed::new(random());
    let (kind, epoch, boxed) = keys_for(&member, &own, invite, &seed)?;
    let expires = invite
        .expires
        .map(|span| wall().saturating_add(span.as_secs()));
    let new = NewKey {
        name: invite.name.clone(),
        public: PublicKey(seed.curve().public),
        boxing: PublicKey(seed.boxing().public),
        rights: invite.rights,
        pipes: invite.pipes.clone(),
        expires,
        epoch,
        boxed,
    };
    let answers = member.put(Question::Invite(new))?;
    let name = answers.iter().find_map(|answer| match answer {
        Reply::Invited { name } => Some(name),
        _ => None,
    });
    let name =
        name.ok_or_else(|| Failure::failed("the satellite did not say that it let it in"))?;
    let (host, port) = address(&member, &own)?;
    let token = Token {
        host,
        port,
        kind,
        satellite: member.token.satellite,
        seed,
        expires,
    };
    let mut line = token.encode();
    line.push('\n');
    let code = show(&line)?;
    let how = match kind {
        Kind::Phrase => "and asks for the phrase there",
        Kind::Boxed { .. } | Kind::Founder => "or set SATELLITE to it",
    };
    notice(&format!(
        "whoever has the line above can use the satellite as {name}: paste it into skypipe --join \
         on the other machine, {how}"
    ));
    Ok(code)
}

/// What an invited machine gets to open pipes with. An inviter that has no keys for that itself, as on
/// the satellite's own machine, leaves it to the phrase.
fn keys_for(
    member: &Member,
    own: &OwnKey,
    invite: &Invite,
    seed: &Seed,
) -> Result<(Kind, u32, Option<Bytes>), Failure> {
    let keyring = match member.identity.keyring(own.boxed.as_deref()) {
        Ok(keyring) => keyring,
        Err(Fault::NoBox) => return Ok((Kind::Phrase, 0, None)),
        Err(fault) => return Err(Failure::failed(fault.to_string())),
    };
    let Some(managing) = keyring.managing() else {
        return Err(Failure::failed(format!(
            "your key, {}, does not allow you to invite others",
            own.name
        )));
    };
    let content = share(&keyring, invite.rights);
    let boxed = boxes::seal(&content, &seed.boxing().public, &managing, &random());
    let boxed = boxed.map_err(|fault| Failure::failed(fault.to_string()))?;
    let kind = Kind::Boxed {
        managing: managing.public,
    };
    Ok((kind, keyring.newest().number, Some(boxed.into())))
}

/// Where the invited machine finds the satellite: where the satellite says, else where this one does.
fn address(member: &Member, own: &OwnKey) -> Result<(String, u16), Failure> {
    let Some(address) = &own.address else {
        return Ok((member.token.host.clone(), member.token.port));
    };
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| Failure::failed("the satellite's address makes no sense"))
}
