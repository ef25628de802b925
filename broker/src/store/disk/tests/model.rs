//! Random work on a store, compared with a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u64, usize),
    Save(u64),
    Lines(u64),
    Release(u64, u8),
    Remove(u64),
    Settle,
    Checkpoint,
    Reopen,
    Crash,
    PowerLoss,
}

#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    needed: u64,
    saved: u64,
    end: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_u64;
    let len = prop_oneof![6 => 1..300_usize, 1 => 60_000..70_000_usize];
    prop_oneof![
        8 => (key.clone(), len).prop_map(|(key, len)| Step::Append(key, len)),
        8 => key.clone().prop_map(Step::Save),
        2 => key.clone().prop_map(Step::Lines),
        3 => (key.clone(), any::<u8>()).prop_map(|(key, part)| Step::Release(key, part)),
        1 => key.prop_map(Step::Remove),
        2 => Just(Step::Settle),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::PowerLoss),
    ]
}

struct Model {
    dir: TempDir,
    store: Option<Open>,
    streams: BTreeMap<u64, Expected>,
    /// The current stream of each of the four slots. Keys are never reused.
    keys: [u64; 4],
    next: u64,
    owed: u64,
    /// The streams and keys at the last sync.
    safe: (BTreeMap<u64, Expected>, [u64; 4]),
}

impl Model {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, _) = open(dir.path(), settings(512 << 10));
        let mut model = Self {
            dir,
            store: Some(store),
            streams: BTreeMap::new(),
            keys: [0; 4],
            next: 1,
            owed: 0,
            safe: Default::default(),
        };
        for slot in 0..4 {
            model.begin(slot);
        }
        model.settle();
        model
    }

    fn store(&mut self) -> &mut Open {
        self.store.as_mut().expect("it is open")
    }

    fn begin(&mut self, slot: usize) {
        let key = self.next;
        self.next += 1;
        self.keys[slot] = key;
        self.streams.insert(key, Expected::default());
        self.store().put(key, 0);
    }

    fn apply(&mut self, step: &Step) {
        self.take(step);
        self.check();
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append(slot, len) => {
                let key = self.key(slot);
                let stream = self.streams.get_mut(&key).expect("is there");
                let at = stream.end;
                stream.end += len as u64;
                self.owed += cost(len);
                self.store()
                    .disk
                    .append(StreamKey(key), chunk(key, at, len));
            }
            Step::Save(slot) => {
                let key = StreamKey(self.key(slot));
                let disk = &mut self.store().disk;
                if let Ok(freed) = disk.save(key) {
                    let saved = disk.saved(key);
                    self.owed -= freed;
                    let stream = self.streams.get_mut(&key.0).expect("is there");
                    stream.saved = saved.unwrap_or(stream.saved);
                }
            }
            Step::Lines(slot) => {
                for _ in 0..100 {
                    self.take(&Step::Append(slot, 5));
                    self.take(&Step::Save(slot));
                }
            }
            Step::Release(slot, part) => {
                let key = self.key(slot);
                let stream = self.streams.get_mut(&key).expect("is there");
                let room = stream.end - stream.needed;
                stream.needed += room * u64::from(part) / 255;
                let needed = stream.needed;
                self.store().put(key, needed);
                let freed = self.store().disk.release(StreamKey(key), needed);
                self.owed -= freed;
            }
            Step::Remove(slot) => {
                let key = self.key(slot);
                self.store().disk.put(&Record::Gone { key });
                self.owed -= self.store().disk.remove(StreamKey(key));
                self.streams.remove(&key);
                self.begin(usize::try_from(slot).expect("fits"));
            }
            Step::Settle => self.settle(),
            Step::Checkpoint => {
                let streams = self.streams.iter();
                let records: Vec<_> = streams
                    .map(|(key, stream)| record(*key, stream.needed))
                    .collect();
                self.store().checkpoint(&records);
                self.settle();
            }
            Step::Reopen => {
                self.store = None;
                self.reopen();
            }
            Step::Crash => {
                self.store().disk.flush().expect("flushes");
                let crashed = copy(self.dir.path());
                self.store = None;
                self.dir = crashed;
                self.reopen();
            }
            Step::PowerLoss => self.lose_power(),
        }
    }

    fn settle(&mut self) {
        self.store().settle();
        self.safe = (self.streams.clone(), self.keys);
    }

    /// Keeps only what was synced. Deleted files are gone.
    fn lose_power(&mut self) {
        let disk = &mut self.store().disk;
        disk.flush().expect("flushes");
        let path = disk.directory.segment(disk.log.segment());
        let synced = disk.log.position_of(disk.synced());
        let crashed = copy(self.dir.path());
        let path = crashed.path().join(path.file_name().expect("has a name"));
        let file = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("opens");
        file.set_len(synced).expect("cuts");
        self.store = None;
        self.dir = crashed;
        (self.streams, self.keys) = self.safe.clone();
        self.reopen();
    }

    fn key(&self, slot: u64) -> u64 {
        self.keys[usize::try_from(slot).expect("fits")]
    }

    fn reopen(&mut self) {
        let (store, recovered) = open(self.dir.path(), settings(512 << 10));
        assert!(recovered.damaged.is_empty(), "{recovered:?}");
        assert_eq!(recovered.notes, Vec::<String>::new());
        for (key, stream) in &mut self.streams {
            assert_eq!(recovered.streams[key].needed, stream.needed);
            stream.saved = stream.saved.max(stream.needed);
            stream.end = stream.saved;
            let found = recovered.ends.get(key).copied();
            assert_eq!(found.unwrap_or(stream.needed), stream.end);
        }
        assert_eq!(recovered.streams.len(), self.streams.len());
        assert!(recovered.keys <= self.next);
        // The bytes in memory are gone, and their cost with them.
        self.owed = 0;
        self.store = Some(store);
        self.safe = (self.streams.clone(), self.keys);
    }

    fn check(&self) {
        let store = self.store.as_ref().expect("it is open");
        for (key, stream) in &self.streams {
            let bytes = store.bytes(*key, stream.needed);
            assert_eq!(
                bytes,
                content(*key, stream.needed, stream.end),
                "stream {key}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_keeps_what_it_was_given(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in &steps {
            model.apply(step);
        }
        for slot in 0..4 {
            model.apply(&Step::Remove(slot));
        }
        prop_assert_eq!(model.owed, 0);
    }
}
