//! The parts that streams and subscriptions stand on.
//!
//! Each of these parts owns its own state. This module owns what takes several of them: work on a pipe, credit,
//! and what a key may still hold.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::absent::Absent;
use super::access::Access;
use super::budget::MemoryBudget;
use super::budget::inflow::Inflow;
use super::budget::shares::{SHARE, Shares};
use super::durability::Durability;
use super::outbox::Outbox;
use super::peers::Peers;
use super::pipes::Pipes;
use crate::interface::{Peer, Settings};
use crate::keys::KeyId;
use crate::pipe::{Context, Effect, Now, Pipe};
use crate::protocol::{self, BASE_CREDIT, Code, Holds, Reply};
use crate::store::{Store, StreamKey};

/// The parts below streams and subscriptions.
#[derive(Debug)]
pub(super) struct Base<S> {
    /// The configuration. It never changes.
    pub settings: Settings,
    pub now: Now,
    pub out: Outbox,
    pub peers: Peers,
    pub access: Access,
    pub pipes: Pipes<S>,
    pub durability: Durability,
    pub budget: MemoryBudget,
    pub inflow: Inflow,
    pub shares: Shares,
    pub absent: Absent,
    /// Effects of work on pipes that streams and subscriptions have to act on.
    effects: VecDeque<Effect>,
}

impl<S: Store> Base<S> {
    pub fn new(settings: Settings, store: S) -> Self {
        let budget = MemoryBudget::new(settings.memory);
        Self {
            now: Now::ZERO,
            out: Outbox::default(),
            peers: Peers::new(&settings),
            access: Access::new(settings.since),
            durability: Durability::new(store.is_durable()),
            pipes: Pipes::new(store, budget.taps()),
            budget,
            inflow: Inflow::default(),
            shares: Shares::default(),
            absent: Absent::default(),
            effects: VecDeque::new(),
            settings,
        }
    }

    /// Runs `work` on a pipe. What it frees and what has to be recorded counts at once. The other effects are
    /// for streams and subscriptions (`next_effect`).
    pub fn run<R>(
        &mut self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Pipe, &mut Context<'_, S>) -> R,
    ) -> R {
        let result = self.pipes.run(self.now, name, work);
        let mut effects = self.pipes.take_effects();
        for effect in effects.drain(..) {
            match effect {
                Effect::Freed(cost) => self.budget.free(cost),
                Effect::Changed(changed) => self.durability.note_changed(changed),
                Effect::Released(stream, _) => {
                    self.recount(stream);
                    // Where nothing is saved, everything was safe before.
                    if self.durability.is_durable() {
                        self.effects.push_back(effect);
                    }
                }
                _ => self.effects.push_back(effect),
            }
        }
        self.pipes.reuse(effects);
        result
    }

    /// The next effect of work on pipes that streams and subscriptions have not acted on.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Sends a reply to a client if the client is connected.
    pub fn tell(&mut self, client: Uuid, reply: Reply) {
        if let Some(peer) = self.peers.peer(client) {
            self.out.reply(peer, reply);
        }
    }

    /// Checks a pipe name. An invalid name is refused, and the result is none.
    pub fn name(&mut self, peer: &Peer, name: &str, about: Option<Uuid>) -> Option<Arc<str>> {
        match protocol::name_fault(name) {
            Some(fault) => {
                self.out.refuse(peer, Code::Name, fault, about);
                None
            }
            None => Some(Arc::from(name)),
        }
    }

    /// Reports that the store has failed. Nobody knows what is on the disk, so no pending reply may be sent.
    /// Clients that reconnect to the next satellite get answers from what is really there.
    pub fn fail(&mut self, why: String) {
        let connections = self.peers.connections().into_iter();
        let told = connections.map(|(peer, key)| {
            let key = self.access.key(key);
            let is_told_all = key.is_none_or(|key| key.rights.manage);
            let message = if is_told_all { &why } else { "its disk failed" };
            (peer, message.to_owned())
        });
        let told = told.collect();
        self.out.fail(why, told);
    }

    /// Adds a client's writer or listener to the absent ones.
    pub fn set_absent(&mut self, client: Uuid, id: Uuid) {
        self.peers.set_absent(client, id);
        let owner = self.shares.owner_of(id);
        self.absent.push(owner, id);
    }
}

/// Credit.
impl<S: Store> Base<S> {
    /// Gives credit to a writer on this connection.
    pub fn give_credit(&mut self, peer: Option<&Peer>, pipe: &str, stream: Uuid, amount: u64) {
        if let Some(peer) = peer {
            self.inflow.give(peer, amount);
        }
        self.budget.grant(amount);
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.granted += amount;
        }
        self.shares.grant(stream, amount);
    }

    /// Counts a chunk for which its writer had credit.
    pub fn spend_credit(
        &mut self,
        peer: &Peer,
        pipe: &str,
        stream: Uuid,
        payload: &Bytes,
        price: u64,
    ) {
        self.inflow.took(peer, payload);
        self.budget.hold(price, true);
        self.settle_credit(pipe, stream, price);
    }

    /// Takes unused credit back from a writer on this connection.
    pub fn withdraw_credit(&mut self, peer: Option<&Peer>, pipe: &str, stream: Uuid, unused: u64) {
        if let Some(peer) = peer {
            self.inflow.take_back(peer, unused);
        }
        self.budget.withdraw(unused);
        self.settle_credit(pipe, stream, unused);
    }

    fn settle_credit(&mut self, pipe: &str, stream: Uuid, amount: u64) {
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.granted = pipe.granted.saturating_sub(amount);
        }
        self.shares.settle(stream, amount);
    }

    /// The first credit for a stream that opens or whose writer is back.
    pub fn first_credit(&self, pipe: &str, stream: Uuid) -> u64 {
        let own = self.key_left(stream).map_or(u64::MAX, |(left, _)| left);
        let amount = BASE_CREDIT
            .min(self.budget.left())
            .min(self.quota_left(pipe));
        amount.min(own)
    }

    /// How many more bytes one pipe may hold, after its held bytes and unused credit.
    pub fn quota_left(&self, pipe: &str) -> u64 {
        let pipe = self.pipes.get(pipe);
        let used = pipe.map_or(0, |pipe| pipe.kept() + pipe.granted);
        self.settings.quota.saturating_sub(used)
    }

    /// How much more credit the key of a writer may get, and the key's quota.
    pub fn key_left(&self, writer: Uuid) -> Option<(u64, u64)> {
        let owner = self.shares.owner_of(writer)?;
        let quota = self.key_quota(owner)?;
        let promised = self.shares.promised(owner);
        Some((quota.saturating_sub(promised), quota))
    }

    /// How many bytes a key's streams may hold: the quota of its invitation, or a quarter of the room. None
    /// for a key that may manage, unless its invitation sets a quota.
    fn key_quota(&self, owner: KeyId) -> Option<u64> {
        let key = self.access.key(Some(owner))?;
        let room = match self.pipes.store().disk() {
            Some(disk) => disk.budget,
            None => self.settings.memory,
        };
        let share = (!key.rights.manage).then_some(room / SHARE as u64);
        key.quota.or(share)
    }

    /// What a key holds, including its connections.
    pub fn holds(&self, key: KeyId) -> Holds {
        Holds {
            clients: self.peers.present_with(key) as u64,
            ..self.shares.of(key)
        }
    }

    /// Updates the number of held bytes of a stream.
    pub fn recount(&mut self, stream: StreamKey) {
        if self.shares.owner_of_stream(stream).is_none() {
            return;
        }
        let pipe = self.pipes.pipe_of(stream);
        let kept = pipe.and_then(|pipe| pipe.kept_of(stream));
        self.shares.stream_keeps(stream, kept.unwrap_or(0));
    }
}
