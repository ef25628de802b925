//! Tests: when a writer packs, on links of every kind.

use super::*;

const CHUNK: usize = 256 << 10;

/// A stream over a simulated link, whose bytes shrink to `share` percent.
struct Stream {
    compressing: Compressing,
    now: Now,
    place: u64,
    /// The speed of the link and of packing, in bytes a second.
    link: u64,
    packing: u64,
    share: u64,
    /// The plain bytes that were sent packed, and those that were sent plain.
    packed: u64,
    plain: u64,
}

/// How long this many bytes take at this rate.
fn time(bytes: usize, rate: u64) -> Duration {
    Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate)
}

impl Stream {
    fn new(setting: Compression, link: u64, packing: u64, share: u64) -> Self {
        Self {
            compressing: Compressing::new(setting),
            now: Now::ZERO,
            place: 0,
            link,
            packing,
            share,
            packed: 0,
            plain: 0,
        }
    }

    /// Sends this many chunks one by one, each acknowledged before the next. Returns whether the last was
    /// packed.
    fn send(&mut self, chunks: u32) -> bool {
        let mut is_packed = false;
        for _ in 0..chunks {
            assert!(self.compressing.lets_go(0));
            is_packed = self.compressing.level().is_some();
            let wire = if is_packed {
                CHUNK * usize::try_from(self.share).expect("it is small") / 100
            } else {
                CHUNK
            };
            self.place += wire as u64;
            let mut took = time(wire, self.link);
            if is_packed {
                self.packed += CHUNK as u64;
                self.compressing.packed(CHUNK, wire, self.place);
                took = took.max(time(CHUNK, self.packing));
            } else {
                self.plain += CHUNK as u64;
                self.compressing.sent_as_it_is(self.place);
            }
            self.now += took;
            self.compressing.acked(self.now, self.place, CHUNK, true);
        }
        is_packed
    }
}

#[test]
fn on_a_slow_link_what_shrinks_is_packed_within_a_few_chunks() {
    let mut stream = Stream::new(Compression::Auto, 12_500_000, 300_000_000, 20);
    assert!(stream.send(8));
    stream.send(4000);
    assert!(
        stream.plain * 50 < stream.packed,
        "{} as they are",
        stream.plain
    );
}

#[test]
fn a_slow_start_of_packing_does_not_end_it() {
    let mut stream = Stream::new(Compression::Auto, 12_500_000, 300_000_000, 20);
    while !stream.send(1) {}
    stream.link /= 8;
    stream.send(2 * LEAST_ACKS);
    stream.link *= 8;
    stream.send(4000);
    assert!(stream.plain * 50 < stream.packed);
}

#[test]
fn what_does_not_shrink_is_packed_for_three_chunks_at_a_time() {
    let mut stream = Stream::new(Compression::Auto, 12_500_000, 300_000_000, 100);
    stream.send(16);
    assert_eq!(stream.packed, u64::from(MOST_POOR) * CHUNK as u64);
    assert!(!stream.send(4000));
    assert!(
        stream.packed * 50 < stream.plain,
        "{} packed",
        stream.packed
    );
}

#[test]
fn on_a_fast_link_nothing_is_packed() {
    let mut stream = Stream::new(Compression::Auto, 400_000_000, 300_000_000, 10);
    stream.send(4000);
    assert_eq!(stream.packed, 0);
}

#[test]
fn a_fast_link_that_is_slow_with_little_on_its_way_is_not_taken_for_a_slow_one() {
    let mut stream = Stream::new(Compression::Auto, FAST * 2 / 3, 300_000_000, 20);
    while !stream.compressing.is_measured {
        stream.send(1);
    }
    stream.link = FAST * 3;
    stream.send(4000);
    assert_eq!(stream.packed, 0);
}

#[test]
fn where_packing_is_slower_than_the_link_it_ends() {
    let mut stream = Stream::new(Compression::Auto, 120_000_000, 60_000_000, 10);
    assert!(!stream.send(4000));
    assert!(
        stream.packed * 10 < stream.plain,
        "{} packed",
        stream.packed
    );
}

#[test]
fn a_link_that_becomes_fast_ends_it() {
    let mut stream = Stream::new(Compression::Auto, 12_500_000, 300_000_000, 20);
    assert!(stream.send(100));
    stream.link = 2_000_000_000;
    assert!(!stream.send(10_000));
}

#[test]
fn a_writer_that_has_no_more_to_send_never_packs() {
    let mut compressing = Compressing::new(Compression::Auto);
    for second in 0..1000 {
        compressing.sent_as_it_is(100 * (second + 1));
        let now = Duration::from_secs(second);
        compressing.acked(now, 100 * (second + 1), 100, false);
        assert_eq!(compressing.level(), None);
    }
}

#[test]
fn before_anything_is_known_little_is_on_its_way() {
    let mut stream = Stream::new(Compression::Auto, 12_500_000, 300_000_000, 20);
    assert!(!stream.compressing.lets_go(FIRST_BYTES));
    stream.send(8);
    assert!(stream.compressing.lets_go(100 * FIRST_BYTES));
}

#[test]
fn what_was_asked_for_is_done() {
    let mut stream = Stream::new(Compression::Off, 1000, 300_000_000, 10);
    assert!(!stream.send(100));
    let mut stream = Stream::new(Compression::Level(9), 400_000_000, 1_000_000, 100);
    assert!(stream.send(100));
    assert_eq!(stream.compressing.level(), Some(9));
    assert_eq!(stream.plain, 0);
}

#[test]
fn a_setting_is_read_as_it_is_written() {
    assert_eq!("auto".parse(), Ok(Compression::Auto));
    assert_eq!("off".parse(), Ok(Compression::Off));
    assert_eq!("19".parse(), Ok(Compression::Level(19)));
    for bad in ["", "0", "20", "-1", "on", "1.5"] {
        assert!(bad.parse::<Compression>().is_err(), "{bad}");
    }
}
