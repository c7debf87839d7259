//! What a store tells the facade of the crate `metrics`, behind the feature of that name. The names stand in
//! [`docs::depth`](crate::docs::depth). Without the feature nothing is left of this, clocks included.

/// Measures how long something takes, where somebody wants to know.
pub(crate) struct Stopwatch {
    #[cfg(feature = "metrics")]
    started: std::time::Instant,
}

impl Stopwatch {
    /// Starts now.
    #[inline]
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            started: std::time::Instant::now(),
        }
    }
}

/// What one checkpoint took, and the store after it.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody asks"))]
pub(crate) struct Written {
    pub nodes: u64,
    pub bytes: u64,
    pub amplification: f64,
    pub segments: usize,
    pub disk_bytes: u64,
}

#[cfg(feature = "metrics")]
mod told {
    use metrics::{counter, gauge, histogram};

    use crate::metrics::{Stopwatch, Written};

    /// A store was opened.
    pub(crate) fn opened(watch: Stopwatch, recovered: bool) {
        histogram!("perennial_open_seconds", "recovered" => if recovered { "true" } else { "false" })
            .record(watch.started.elapsed());
    }

    /// A checkpoint was acknowledged.
    pub(crate) fn checkpointed(watch: Stopwatch, written: impl FnOnce() -> Written) {
        let written = written();
        histogram!("perennial_checkpoint_seconds").record(watch.started.elapsed());
        histogram!("perennial_checkpoint_nodes").record(written.nodes as f64);
        histogram!("perennial_checkpoint_bytes").record(written.bytes as f64);
        counter!("perennial_written_bytes_total").increment(written.bytes);
        gauge!("perennial_write_amplification").set(written.amplification);
        gauge!("perennial_disk_bytes").set(written.disk_bytes as f64);
        gauge!("perennial_segments").set(written.segments as f64);
    }

    /// A pass of compaction is over.
    pub(crate) fn compacted(watch: Stopwatch, old_bytes: u64, new_bytes: u64) {
        histogram!("perennial_compaction_seconds").record(watch.started.elapsed());
        counter!("perennial_compaction_old_bytes_total").increment(old_bytes);
        counter!("perennial_compaction_new_bytes_total").increment(new_bytes);
    }

    /// A state let go of nodes.
    pub(crate) fn evicted(bytes: u64) {
        counter!("perennial_evicted_bytes_total").increment(bytes);
    }

    /// Segments were looked at in the background: so many bytes, and what that found.
    pub(crate) fn scrubbed(bytes: u64, passes: u64, damage: u64) {
        counter!("perennial_scrubbed_bytes_total").increment(bytes);
        counter!("perennial_scrub_passes_total").increment(passes);
        counter!("perennial_scrub_damage_total").increment(damage);
    }

    /// A store can no longer be written.
    pub(crate) fn poisoned() {
        counter!("perennial_poisoned_total").increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
mod told {
    use crate::metrics::{Stopwatch, Written};

    #[inline]
    pub(crate) fn opened(_: Stopwatch, _: bool) {}
    #[inline]
    pub(crate) fn checkpointed(_: Stopwatch, _: impl FnOnce() -> Written) {}
    #[inline]
    pub(crate) fn compacted(_: Stopwatch, _: u64, _: u64) {}
    #[inline]
    pub(crate) fn evicted(_: u64) {}
    #[inline]
    pub(crate) fn scrubbed(_: u64, _: u64, _: u64) {}
    #[inline]
    pub(crate) fn poisoned() {}
}

pub(crate) use told::{checkpointed, compacted, evicted, opened, poisoned, scrubbed};

#[cfg(feature = "metrics")]
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn};
    use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use crate::HashMap;
    use crate::retention::keep_last;
    use crate::storage::{Fault, SimStorage};
    use crate::store::Options;

    /// All that was said, by name.
    #[derive(Clone, Default)]
    struct Book(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

    struct Entry(Book, String);

    impl Entry {
        fn say(&self, value: f64) {
            self.0.0.lock().unwrap().entry(self.1.clone()).or_default().push(value);
        }
    }

    impl CounterFn for Entry {
        fn increment(&self, value: u64) {
            self.say(value as f64);
        }
        fn absolute(&self, value: u64) {
            self.say(value as f64);
        }
    }

    impl GaugeFn for Entry {
        fn increment(&self, value: f64) {
            self.say(value);
        }
        fn decrement(&self, value: f64) {
            self.say(-value);
        }
        fn set(&self, value: f64) {
            self.say(value);
        }
    }

    impl HistogramFn for Entry {
        fn record(&self, value: f64) {
            self.say(value);
        }
    }

    impl Book {
        fn entry(&self, key: &Key) -> Arc<Entry> {
            Arc::new(Entry(self.clone(), key.name().to_owned()))
        }
    }

    impl Recorder for Book {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.entry(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.entry(key))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.entry(key))
        }
    }

    #[test]
    fn a_recorder_hears_of_everything_in_the_table() {
        let book = Book::default();
        metrics::with_local_recorder(&book, || {
            let disk = SimStorage::new();
            let options = Options::new().segment_bytes(16 << 10);
            let store = options.open_storage(Arc::new(disk.clone())).unwrap();
            let mut state: HashMap<u32, u32> = (0..5000).map(|n| (n, n)).collect();
            for round in 0..8 {
                state.iter_mut().for_each(|(_, value)| *value = round);
                store.checkpoint(&state).unwrap();
            }
            store.evict(&mut state, 0).unwrap();
            store.retain(&keep_last(1)).unwrap();
            assert!(store.compact().unwrap().old_bytes > 0);
            assert!(store.scrub_step(10_000) > 0);
            state.insert(0, 0);
            (0..9).for_each(|next| disk.plant(disk.operations() + next, Fault::Refuse));
            assert!(store.checkpoint(&state).is_err());
            assert!(store.checkpoint(&state).is_err());
        });
        let book = book.0.lock().unwrap();
        let page = include_str!("docs/depth.md");
        let table =
            page.lines().filter_map(|line| line.strip_prefix("| `perennial_")).collect::<Vec<_>>().join("\n");
        for name in book.keys() {
            assert!(page.contains(&format!("`{name}`")), "{name} is not in the table");
        }
        assert_eq!(
            book.len(),
            table.lines().count() + table.matches("`perennial_").count(),
            "{:?}",
            book.keys()
        );
        assert_eq!(book["perennial_checkpoint_seconds"].len(), 8);
        assert_eq!(book["perennial_poisoned_total"], [1.0]);
        assert!(book["perennial_evicted_bytes_total"].iter().sum::<f64>() > 40_000.0);
        assert!(book["perennial_write_amplification"].iter().all(|times| *times == 1.0));
    }
}
