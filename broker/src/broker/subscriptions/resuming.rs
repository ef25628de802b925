//! Listeners that come back: on another connection, after a timeout, or after a restart (rule 16).

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::super::base::Base;
use super::super::peers::Sender;
use super::{Presence, Subscription, Subscriptions, forget_parts};
use crate::pipe::{Away, Changed, ListenerKey, Return};
use crate::protocol::{Code, Listen, Resume};
use crate::store::record::{AwayRecord, ListenerRecord, Owner, PartRecord};
use crate::store::{Store, StreamKey};
use crate::text;

impl Subscriptions {
    /// Resumes a listener, perhaps on another connection.
    pub(super) fn listen_again<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        listen: &Listen,
    ) {
        let listener = listen.listener;
        let resume = listen.resume.clone().unwrap_or_default();
        if self.owned(base, from, listener).is_none() {
            return;
        }
        let Some(subscription) = self.by_id.get_mut(&listener) else {
            return;
        };
        let key = subscription.key;
        let here = Presence::Here(Some(from.peer.clone()));
        let has_resumed = match std::mem::replace(&mut subscription.presence, here) {
            Presence::Away(away) => {
                return self.come_back(base, from, listener, &away, &resume, listen.window);
            }
            Presence::Restored => {
                base.run(&subscription.pipe, |pipe, ctx| {
                    let Resume {
                        next_seq,
                        cost,
                        line,
                        ..
                    } = resume;
                    pipe.rejoin(key, next_seq, cost, listen.window, line, ctx);
                });
                true
            }
            Presence::Here(before) => {
                let resumed = base.run(&subscription.pipe, |pipe, _| {
                    pipe.resume(key, resume.next_seq)
                });
                if resumed.is_err() {
                    subscription.presence = Presence::Here(before);
                }
                resumed.is_ok()
            }
        };
        if !has_resumed {
            let message = "the listener cannot have reached that position";
            let about = Some(listener);
            return base.out.refuse(from.peer, Code::Unknown, message, about);
        }
        self.listening(base, from.peer, listener);
        self.wake(key);
    }

    /// Resumes a listener that had timed out.
    fn come_back<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        listener: Uuid,
        away: &Away,
        resume: &Resume,
        window: u64,
    ) {
        let joined = StreamKey(base.pipes.new_key());
        let Some(subscription) = self.by_id.get_mut(&listener) else {
            return;
        };
        let key = subscription.key;
        forget_parts(base, key, away);
        let known = resume.streams.iter().map(|it| (it.stream, *it));
        let back = Return {
            next_seq: resume.next_seq,
            cost: resume.cost,
            window,
            line: resume.line,
            progress: &known.collect::<HashMap<_, _>>(),
            joined,
        };
        let found = base.run(&subscription.pipe, |pipe, ctx| {
            pipe.come_back(key, away, &back, ctx)
        });
        base.budget.touch();
        base.absent.remove(|absent| absent == listener);
        base.peers.add_listener(subscription.client, listener);
        if let Ok(missed) = found {
            *subscription.missed.get_or_insert(0) += missed;
            self.listening(base, from.peer, listener);
            return self.wake(key);
        }
        self.remove(base, listener);
        base.durability.note_changed(Changed::Listener(key));
        let message = "the satellite lost contact with this listener, and others took its data";
        let about = Some(listener);
        base.out.refuse(from.peer, Code::Lost, message, about);
    }
}

/// A restart.
impl Subscriptions {
    /// Restores a listener of an earlier run.
    pub fn restore<S: Store>(&mut self, base: &mut Base<S>, key: u64, record: &ListenerRecord) {
        let pipe: Arc<str> = Arc::from(text::normal(&record.pipe));
        let presence = if record.is_away {
            Presence::Away(Away::restored(record))
        } else {
            base.pipes.get_or_make(&pipe).restore_listener(record);
            Presence::Restored
        };
        let (client, listener, key) = (record.client, record.id, ListenerKey(key));
        let subscription = Subscription {
            client,
            pipe,
            key,
            presence,
            missed: None,
            promised: None,
        };
        self.by_id.insert(listener, subscription);
        self.by_key.insert(key, listener);
        base.shares
            .listener_comes(listener, record.owner.map(Owner::key));
        base.peers.restore(client, base.now);
        base.peers.add_listener(client, listener);
        if record.is_away {
            base.set_absent(client, listener);
            base.peers.forget_if_over(client);
        }
        base.peers.schedule_check(client);
    }

    /// Restores a cursor of a listener that is away.
    pub fn restore_away<S: Store>(
        &mut self,
        base: &mut Base<S>,
        part: &PartRecord,
        away: &AwayRecord,
    ) {
        let id = self.by_key.get(&ListenerKey(part.listener));
        let subscription = id.and_then(|id| self.by_id.get_mut(id));
        if let Some(subscription) = subscription
            && let Presence::Away(kept) = &mut subscription.presence
        {
            kept.restore_part(part, away);
            base.pipes.add_cursors(1);
        }
    }
}
