//! What those who manage a satellite say of its keys.
//!
//! Nothing is answered before the roll has been saved. If it cannot be, it is as it was before, but
//! for keys that were ended: those stay out as long as this satellite runs.

use bytes::Bytes;

use super::{Broker, Output, Peer};
use crate::keys::{Fault, KeyId, Roll};
use crate::protocol::{Code, MAX_KEYS_PAGE, NewKey, Phrase, Reply};
use crate::store::Store;

/// How long a key's last use may lie back before it is written down anew, in seconds.
const USE_KEPT_EVERY: u64 = 60;

/// A roll on its way to the disk.
#[derive(Debug)]
pub(super) struct Unsaved {
    /// Who is told when it is there, and what.
    answer: Option<(Peer, Reply)>,
    /// The roll to go back to if it does not get there.
    before: Option<Roll>,
}

impl<S: Store> Broker<S> {
    pub(super) fn invite(&mut self, peer: &Peer, new: NewKey) {
        let wall = self.wall();
        self.change_roll(peer, |roll| {
            let name = roll.invite(new, wall)?;
            Ok(Reply::Invited { name })
        });
    }

    pub(super) fn keep_box(
        &mut self,
        peer: &Peer,
        key: Option<KeyId>,
        name: &str,
        epoch: u32,
        boxed: &Bytes,
    ) {
        let may_renew = self.key(key).is_some_and(|key| key.rights.manage);
        let mut holder = None;
        self.change_roll(peer, |roll| {
            // Else whoever has any key could claim the last generation that there can be, and nobody
            // could renew or invite any more.
            if epoch > roll.epoch() && !may_renew {
                return Err(Fault::Early);
            }
            holder = Some(roll.keep_box(name, epoch, boxed.clone())?.id());
            Ok(Reply::Kept)
        });
        let Some(holder) = holder else {
            return;
        };
        let news = Reply::Boxed {
            boxed: boxed.clone(),
        };
        for client in self.clients.with_key(holder) {
            if self.clients.peer(client) != Some(peer) {
                self.tell(client, &news, None);
            }
        }
    }

    pub(super) fn set_phrase(&mut self, peer: &Peer, epoch: u32, phrase: Option<Phrase>) {
        self.change_roll(peer, |roll| {
            roll.keep_phrase(epoch, phrase)?;
            Ok(Reply::Kept)
        });
    }

    pub(super) fn phrase(&mut self, peer: &Peer) {
        let phrase = self.roll.as_ref().and_then(Roll::phrase).cloned();
        self.reply(peer, &Reply::Phrase(phrase));
    }

    pub(super) fn keys(&mut self, peer: &Peer, after: Option<&str>) {
        let Some(roll) = &self.roll else {
            return self.refuse_keyless(peer);
        };
        let (keys, more) = roll.page(after, MAX_KEYS_PAGE);
        let info = |key: &&crate::keys::Key| key.info(self.clients.has_key(key.id()));
        let keys = keys.iter().map(info).collect();
        let epoch = roll.epoch();
        self.reply(peer, &Reply::Keys { keys, more, epoch });
    }

    pub(super) fn revoke(&mut self, peer: &Peer, name: &str) {
        let Some(roll) = &mut self.roll else {
            return self.refuse_keyless(peer);
        };
        match roll.revoke(name) {
            Ok((ended, could_read)) => {
                if let Some(key) = ended {
                    self.out
                        .push_back(Output::Log(format!("the key {name} is revoked")));
                    self.expel(key.id(), "its key was revoked");
                }
                self.save_roll(Some((peer.clone(), Reply::Revoked { could_read })), None);
            }
            Err(fault) => self.refuse_for(peer, &fault),
        }
    }

    /// Notes that the holder of a key has come.
    pub(super) fn note_use(&mut self, key: Option<KeyId>) {
        let wall = self.wall();
        let (Some(roll), Some(key)) = (&mut self.roll, key) else {
            return;
        };
        let before = roll.note_use(key, wall);
        if before.is_none_or(|before| before + USE_KEPT_EVERY <= wall) {
            self.save_roll(None, None);
        }
    }

    fn change_roll(&mut self, peer: &Peer, change: impl FnOnce(&mut Roll) -> Result<Reply, Fault>) {
        let Some(roll) = &mut self.roll else {
            return self.refuse_keyless(peer);
        };
        let before = roll.clone();
        match change(roll) {
            Ok(reply) => self.save_roll(Some((peer.clone(), reply)), Some(before)),
            Err(fault) => self.refuse_for(peer, &fault),
        }
    }

    pub(super) fn save_roll(&mut self, answer: Option<(Peer, Reply)>, before: Option<Roll>) {
        if let Some(roll) = &self.roll {
            let bytes = Bytes::from(roll.encode());
            self.out.push_back(Output::SaveKeys(bytes));
            self.unsaved.push_back(Unsaved { answer, before });
        }
    }

    /// The oldest roll on its way has come to the disk, or has not.
    pub(super) fn roll_saved(&mut self, saved: Result<(), String>) {
        let Some(Unsaved { answer, before }) = self.unsaved.pop_front() else {
            return;
        };
        let Err(why) = saved else {
            if let Some((peer, reply)) = answer {
                self.reply(&peer, &reply);
            }
            return;
        };
        self.out
            .push_back(Output::Log(format!("the keys cannot be saved: {why}")));
        if let Some(before) = before {
            self.roll = Some(before);
        }
        if let Some((peer, _)) = answer {
            let message = format!("the satellite cannot save its keys: {why}");
            self.refuse(&peer, Code::Disk, &message, None);
        }
    }

    fn refuse_for(&mut self, peer: &Peer, fault: &Fault) {
        let code = match fault {
            Fault::Malformed(_) => Code::Malformed,
            Fault::TooMany => Code::Limit,
            Fault::Unknown => Code::Unknown,
            Fault::Taken | Fault::Old | Fault::Early | Fault::Last => Code::Denied,
        };
        self.refuse(peer, code, &fault.to_string(), None);
    }

    fn refuse_keyless(&mut self, peer: &Peer) {
        let message = "this satellite has no keys: whoever can reach it can use it";
        self.refuse(peer, Code::Denied, message, None);
    }
}
