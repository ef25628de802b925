//! A disk in virtual time: written data survives a kill, synced data survives a power loss.
//!
//! The log outlives the broker that writes it. It keeps everything in write order, so that a crash leaves a
//! prefix.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use skypipe_broker::store::record::StreamRecord;
use skypipe_broker::store::{
    Chunk, Damaged, DiskUse, Mark, Record, Recovered, Store, StreamKey, WriteError,
};
use skypipe_protocol::cost;

/// The memory that a saved chunk still costs, in bytes.
const INDEX_COST: u64 = 64;

/// An entry of the log.
#[derive(Debug, Clone)]
enum Entry {
    Record(Record),
    Chunk(StreamKey, Chunk),
}

/// The disk's content.
#[derive(Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// How many entries have been written, and how many are synced.
    flushed: usize,
    synced: usize,
    /// How many entries will be synced when the running sync ends.
    syncing: Option<usize>,
    /// Saved bytes that are still needed, and their limit.
    used: u64,
    budget: u64,
    /// Up to where each stream was released, and up to where at the last flush. Bytes below the latter may
    /// be gone.
    released: HashMap<StreamKey, u64>,
    deleted: HashMap<StreamKey, u64>,
    /// How many of the next flushes fail.
    refusals: u32,
    /// Whether syncs are skipped, as a planted fault.
    skips_syncs: bool,
}

/// How a satellite ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was killed: everything written survives.
    Killed,
    /// Its machine lost power: unsynced entries may be lost. The number is the surviving part, in
    /// thousandths.
    PowerLoss(u64),
}

/// A disk, used by one broker after the other.
#[derive(Debug, Clone, Default)]
pub struct Disk(Rc<RefCell<Log>>);

impl Disk {
    /// An empty disk with this budget in bytes.
    pub fn new(budget: u64, skips_syncs: bool) -> Self {
        let log = Log {
            budget,
            skips_syncs,
            ..Log::default()
        };
        Self(Rc::new(RefCell::new(log)))
    }

    /// Saved bytes that are still needed.
    pub fn used(&self) -> u64 {
        self.0.borrow().used
    }

    /// Whether a sync is running.
    pub fn is_syncing(&self) -> bool {
        self.0.borrow().syncing.is_some()
    }

    /// Makes the next flushes fail.
    pub fn refuse(&self, flushes: u32) {
        self.0.borrow_mut().refusals = flushes;
    }

    /// Ends the running sync.
    pub fn synced(&self) {
        let mut log = self.0.borrow_mut();
        if let Some(synced) = log.syncing.take() {
            log.synced = synced;
        }
    }

    /// What the next satellite finds after the last one ended in this way.
    pub fn restart(&self, end: End) -> (Simulated, Recovered) {
        let mut log = self.0.borrow_mut();
        log.syncing = None;
        let kept = match end {
            End::Killed => log.flushed,
            End::PowerLoss(part) => {
                let unsafe_part = (log.flushed - log.synced) as u64;
                log.synced + usize::try_from(unsafe_part * part / 1000).expect("logs are short")
            }
        };
        log.entries.truncate(kept);
        (log.flushed, log.synced) = (kept, kept);
        let mut recovered = Recovered::default();
        let mut saved: HashMap<StreamKey, BTreeMap<u64, Chunk>> = HashMap::new();
        for entry in &log.entries {
            match entry.clone() {
                Entry::Record(record) => recovered.apply(record),
                // Released data may be gone once the release is synced. After a kill it is gone.
                Entry::Chunk(stream, chunk)
                    if end == End::Killed
                        && log
                            .deleted
                            .get(&stream)
                            .is_some_and(|released| chunk.mark.end() <= *released) => {}
                Entry::Chunk(stream, chunk) => {
                    recovered.note_arrival(chunk.mark.arrival);
                    saved
                        .entry(stream)
                        .or_default()
                        .insert(chunk.mark.at, chunk);
                }
            }
        }
        let needed = |(key, record): (&u64, &StreamRecord)| (StreamKey(*key), record.needed);
        log.released = recovered.streams.iter().map(needed).collect();
        let released = log.released.clone();
        log.deleted = released;
        let mut streams = HashMap::new();
        log.used = 0;
        for (key, record) in &recovered.streams {
            let mut kept = Kept::default();
            let mut end = record.needed;
            for chunk in saved
                .remove(&StreamKey(*key))
                .unwrap_or_default()
                .into_values()
            {
                if chunk.mark.end() > end {
                    assert!(chunk.mark.at <= end, "bytes are saved in order");
                    end = chunk.mark.end();
                    log.used += chunk.payload.len() as u64;
                    kept.saved.push_back(chunk);
                }
            }
            recovered.ends.insert(*key, end);
            if !kept.saved.is_empty() {
                streams.insert(StreamKey(*key), kept);
            }
        }
        drop(log);
        let disk = Some(self.clone());
        (Simulated { disk, streams }, recovered)
    }
}

/// What is stored of one stream.
#[derive(Debug, Default)]
struct Kept {
    saved: VecDeque<Chunk>,
    memory: VecDeque<Chunk>,
}

impl Kept {
    fn get(&self, at: u64) -> Option<&Chunk> {
        let mut chunks = self.saved.iter().chain(&self.memory);
        chunks.find(|chunk| chunk.mark.at <= at && at < chunk.mark.end())
    }
}

/// The store of one broker: on a disk, or in memory only.
#[derive(Debug, Default)]
pub struct Simulated {
    disk: Option<Disk>,
    streams: HashMap<StreamKey, Kept>,
}

impl Simulated {
    fn log(&self) -> Option<std::cell::RefMut<'_, Log>> {
        self.disk.as_ref().map(|disk| disk.0.borrow_mut())
    }
}

impl Store for Simulated {
    fn append(&mut self, stream: StreamKey, chunk: Chunk) {
        let kept = self.streams.entry(stream).or_default();
        if let Some(last) = kept.memory.back().or(kept.saved.back()) {
            assert_eq!(last.mark.end(), chunk.mark.at, "chunks follow one another");
        }
        kept.memory.push_back(chunk);
    }

    fn mark(&self, stream: StreamKey, at: u64) -> Option<Mark> {
        let chunk = self.streams.get(&stream)?.get(at)?;
        Some(chunk.mark.from(at))
    }

    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged> {
        let found = self.streams.get(&stream).and_then(|kept| kept.get(at));
        Ok(found.map(|chunk| {
            let mark = chunk.mark.from(at);
            let payload = chunk.payload.slice(chunk.payload.len() - mark.len..);
            Chunk { payload, mark }
        }))
    }

    fn release(&mut self, stream: StreamKey, at: u64) -> u64 {
        let Some(kept) = self.streams.get_mut(&stream) else {
            return 0;
        };
        let (mut freed, mut bytes) = (0, 0);
        while let Some(chunk) = kept.saved.front().filter(|chunk| chunk.mark.end() <= at) {
            freed += INDEX_COST;
            bytes += chunk.payload.len() as u64;
            kept.saved.pop_front();
        }
        while let Some(chunk) = kept.memory.front().filter(|chunk| chunk.mark.end() <= at) {
            freed += cost(chunk.payload.len());
            kept.memory.pop_front();
        }
        if let Some(mut log) = self.log() {
            log.used -= bytes;
            let released = log.released.entry(stream).or_default();
            *released = at.max(*released);
        }
        freed
    }

    fn remove(&mut self, stream: StreamKey) -> u64 {
        let freed = self.release(stream, u64::MAX);
        self.streams.remove(&stream);
        freed
    }

    fn is_durable(&self) -> bool {
        self.disk.is_some()
    }

    fn save(&mut self, stream: StreamKey) -> Result<u64, WriteError> {
        let Some(disk) = self.disk.clone() else {
            return Ok(0);
        };
        let mut log = disk.0.borrow_mut();
        let Some(kept) = self.streams.get_mut(&stream) else {
            return Ok(0);
        };
        let Some(chunk) = kept.memory.front() else {
            return Ok(0);
        };
        let len = chunk.payload.len() as u64;
        if log.used + len > log.budget {
            return Err(WriteError::Full("the disk is full".to_owned()));
        }
        log.used += len;
        log.entries.push(Entry::Chunk(stream, chunk.clone()));
        kept.saved.extend(kept.memory.pop_front());
        Ok(cost(usize::try_from(len).expect("chunks are short")) - INDEX_COST)
    }

    fn saved(&self, stream: StreamKey) -> Option<u64> {
        let kept = self.streams.get(&stream)?;
        let first = kept.memory.front().map(|chunk| chunk.mark.at);
        first.or(kept.saved.back().map(|chunk| chunk.mark.end()))
    }

    fn put(&mut self, record: &Record) {
        if let Some(mut log) = self.log() {
            log.entries.push(Entry::Record(record.clone()));
        }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if let Some(mut log) = self.log() {
            if log.refusals > 0 {
                log.refusals -= 1;
                return Err(WriteError::Full("the disk is full".to_owned()));
            }
            log.flushed = log.entries.len();
            let released = log.released.clone();
            log.deleted = released;
        }
        Ok(())
    }

    fn written(&self) -> u64 {
        self.log().map_or(0, |log| log.entries.len() as u64)
    }

    fn synced(&self) -> u64 {
        self.log().map_or(0, |log| {
            if log.skips_syncs {
                log.flushed as u64
            } else {
                log.synced as u64
            }
        })
    }

    fn sync(&mut self) {
        if let Some(mut log) = self.log() {
            let flushed = log.flushed;
            log.syncing.get_or_insert(flushed);
        }
    }

    fn wants_checkpoint(&self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: &mut dyn Iterator<Item = Record>) -> Result<(), WriteError> {
        Ok(())
    }

    fn disk(&self) -> Option<DiskUse> {
        self.log().map(|log| DiskUse {
            used: log.used,
            budget: log.budget,
        })
    }

    fn kept(&self) -> String {
        "simulated".to_owned()
    }
}
