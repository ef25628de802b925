//! What those who manage a satellite say of its keys.
//!
//! Nothing is answered before the roll has been saved. If it cannot be, it is as it was before, but
//! for keys that were ended: those stay out as long as this satellite runs.

use bytes::Bytes;

use super::{Broker, Output, Peer};
use crate::keys::{Fault, KeyId, Roll};
use crate::protocol::{Code, MAX_KEYS_PAGE, NewBox, NewKey, Phrase, Reply};
use crate::store::Store;

/// How often it is written down at most when keys were used last, in seconds. The end of a satellite
/// writes it down, too.
const USE_KEPT_EVERY: u64 = 60;

/// A roll on its way to the disk.
#[derive(Debug)]
pub(super) struct Unsaved {
    /// Who is told when it is there, and what.
    answer: Option<(Peer, Reply)>,
    /// The roll to go back to if it does not get there.
    before: Option<Roll>,
    /// A new box in it, and whose.
    boxed: Option<(KeyId, Bytes)>,
}

impl<S: Store> Broker<S> {
    pub(super) fn invite(&mut self, peer: &Peer, new: NewKey) {
        let wall = self.wall;
        self.change_roll(peer, |roll| {
            let name = roll.invite(new, wall)?;
            Ok(Reply::Invited { name })
        });
    }

    pub(super) fn keep_box(&mut self, peer: &Peer, key: Option<KeyId>, new: NewBox) {
        let Some(by) = key else {
            return self.refuse_keyless(peer);
        };
        let boxed = new.boxed.clone();
        let mut holder = None;
        self.change_roll(peer, |roll| {
            holder = Some(roll.keep_box(new, by)?.id());
            Ok(Reply::Kept)
        });
        // It is told when it has been saved.
        if let (Some(holder), Some(unsaved)) = (holder, self.unsaved.back_mut()) {
            unsaved.boxed = Some((holder, boxed));
        }
    }

    fn tell_holders(&mut self, holder: KeyId, boxed: Bytes, but: Option<&Peer>) {
        let news = Reply::Boxed { boxed };
        for client in self.clients.with_key(holder) {
            if self.clients.peer(client) != but {
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
        let wall = self.wall;
        let (Some(roll), Some(key)) = (&mut self.roll, key) else {
            return;
        };
        roll.note_use(key, wall);
        if self
            .roll_saved
            .is_none_or(|saved| saved + USE_KEPT_EVERY <= wall)
        {
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
        self.roll_saved = Some(self.wall);
        if let Some(roll) = &self.roll {
            let bytes = Bytes::from(roll.encode());
            self.out.push_back(Output::SaveKeys(bytes));
            let boxed = None;
            self.unsaved.push_back(Unsaved {
                answer,
                before,
                boxed,
            });
        }
    }

    /// The oldest roll on its way has come to the disk, or has not.
    pub(super) fn keys_saved(&mut self, saved: Result<(), String>) {
        let Some(unsaved) = self.unsaved.pop_front() else {
            return;
        };
        let Err(why) = saved else {
            if let Some((holder, boxed)) = unsaved.boxed {
                let but = unsaved.answer.as_ref().map(|(peer, _)| peer);
                self.tell_holders(holder, boxed, but);
            }
            if let Some((peer, reply)) = unsaved.answer {
                self.reply(&peer, &reply);
            }
            return;
        };
        self.out
            .push_back(Output::Log(format!("the keys cannot be saved: {why}")));
        if let (Some(before), Some(now)) = (unsaved.before, &mut self.roll) {
            *now = before.without_those_revoked(now);
        }
        if let Some((peer, _)) = unsaved.answer {
            let message = format!("the satellite cannot save its keys: {why}");
            self.refuse(&peer, Code::Disk, &message, None);
        }
    }

    fn refuse_for(&mut self, peer: &Peer, fault: &Fault) {
        let code = match fault {
            Fault::Malformed(_) => Code::Malformed,
            Fault::TooMany => Code::Limit,
            Fault::Unknown => Code::Unknown,
            Fault::Taken | Fault::Old | Fault::Last => Code::Denied,
        };
        self.refuse(peer, code, &fault.to_string(), None);
    }

    fn refuse_keyless(&mut self, peer: &Peer) {
        let message = "this satellite has no keys: whoever can reach it can use it";
        self.refuse(peer, Code::Denied, message, None);
    }
}
