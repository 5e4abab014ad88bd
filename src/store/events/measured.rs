//! Counts events for the facade `metrics`, and reports durations and gauges of background work.
//!
//! Names and units follow OpenTelemetry: dots between words, a noun in the plural, units as in
//! UCUM. No label holds a key or a user, because their number is unbounded.

use std::sync::Arc;
use std::time::Duration;

use metrics::{
    Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::engine::outcome::EngineStats;
use crate::store::events::{Event, MaintenanceTask, Observer};

const CREATED: &str = "sessile.sessions.created";
const REGENERATED: &str = "sessile.sessions.regenerated";
const ENDED: &str = "sessile.sessions.ended";
const CLEARED: &str = "sessile.clears";
const CONFLICTS: &str = "sessile.conflicts";
const DAMAGED: &str = "sessile.records.damaged";
const FAILURES: &str = "sessile.maintenance.failures";
const MISSED: &str = "sessile.promises.missed";
const CHECKPOINTS: &str = "sessile.checkpoints";
const OPENINGS: &str = "sessile.file.reopenings";
const STORED: &str = "sessile.records.stored";
const FILE_SIZE: &str = "sessile.file.size";
const PENDING: &str = "sessile.touches.pending";
const DURATION: &str = "sessile.maintenance.duration";

/// The metrics of one store. The label `store` tells it from others of the program.
#[derive(Debug)]
pub(super) struct Measured {
    labels: Vec<Label>,
}

/// Describes every metric to the program's recorder.
pub(super) fn describe() {
    describe_counter!(CREATED, Unit::Count, "Sessions created");
    describe_counter!(REGENERATED, Unit::Count, "Sessions given a new id");
    describe_counter!(ENDED, Unit::Count, "Sessions ended, by reason");
    describe_counter!(CLEARED, Unit::Count, "How often all sessions were ended at once");
    describe_counter!(CONFLICTS, Unit::Count, "Saves refused for a save meanwhile");
    describe_counter!(DAMAGED, Unit::Count, "How often a damaged record was met");
    describe_counter!(FAILURES, Unit::Count, "Background tasks that failed, by task");
    describe_counter!(MISSED, Unit::Count, "Touches written later than promised");
    describe_counter!(CHECKPOINTS, Unit::Count, "Checkpoints of the log");
    describe_counter!(OPENINGS, Unit::Count, "How often the file was opened again after an error");
    describe_gauge!(STORED, Unit::Count, "Records, expired ones included");
    describe_gauge!(FILE_SIZE, Unit::Bytes, "The size of the file");
    describe_gauge!(PENDING, Unit::Count, "Touches that are in memory alone");
    describe_histogram!(DURATION, Unit::Seconds, "How long a background task took, by task");
}

impl Measured {
    /// The metrics of a store with this content name. A store without one has no label.
    pub(super) fn of(store: Option<&str>) -> Self {
        let label = store.map(|name| Label::new("store", Arc::<str>::from(name)));
        Self { labels: label.into_iter().collect() }
    }

    fn labels(&self) -> Vec<Label> {
        self.labels.clone()
    }

    fn labels_and(&self, name: &'static str, value: &'static str) -> Vec<Label> {
        let more = Label::from_static_parts(name, value);
        self.labels.iter().cloned().chain([more]).collect()
    }

    /// Reports the engine's current gauges.
    pub(super) fn gauges(&self, stats: &EngineStats) {
        gauge!(STORED, self.labels()).set(stats.stored as f64);
        gauge!(PENDING, self.labels()).set(stats.pending_touches as f64);
        if let Some(bytes) = stats.file_bytes {
            gauge!(FILE_SIZE, self.labels()).set(bytes as f64);
        }
    }

    /// Reports the duration of a background task.
    pub(super) fn took(&self, task: MaintenanceTask, time: Duration) {
        let labels = self.labels_and("task", task.name());
        histogram!(DURATION, labels).record(time.as_secs_f64());
    }
}

impl Observer for Measured {
    fn observe(&self, event: &Event) {
        let labels = match event {
            Event::Ended { reason, .. } => self.labels_and("reason", reason.name()),
            Event::MaintenanceFailed { task, .. } => self.labels_and("task", task.name()),
            _ => self.labels(),
        };
        match event {
            Event::Created { .. } => counter!(CREATED, labels).increment(1),
            Event::Regenerated { .. } => counter!(REGENERATED, labels).increment(1),
            Event::Ended { .. } => counter!(ENDED, labels).increment(1),
            Event::Cleared => counter!(CLEARED, labels).increment(1),
            Event::Conflict { .. } => counter!(CONFLICTS, labels).increment(1),
            Event::DamagedRecord { .. } => counter!(DAMAGED, labels).increment(1),
            Event::MaintenanceFailed { .. } => counter!(FAILURES, labels).increment(1),
            Event::PromiseMissed { .. } => counter!(MISSED, labels).increment(1),
            Event::Checkpoint => counter!(CHECKPOINTS, labels).increment(1),
            Event::Reopened => counter!(OPENINGS, labels).increment(1),
            Event::MaintenanceRecovered { .. }
            | Event::Recovered
            | Event::LongerTimeoutsOnRecord { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString};

    use super::*;
    use crate::store::events::dispatch::Events;

    /// A recorder that refuses everything, as with a broken registry.
    struct Broken;

    fn broken() -> ! {
        std::panic::resume_unwind(Box::new("on purpose"))
    }

    impl Recorder for Broken {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            broken()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            broken()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            broken()
        }
    }

    #[test]
    fn a_panic_of_a_recorder_is_counted_and_ends_no_thread() {
        let events = Events::new(vec![Arc::new(Measured::of(None))], None);
        metrics::with_local_recorder(&Broken, || {
            events.tell(&Event::Cleared);
            events.gauges(&EngineStats::default());
            events.took(MaintenanceTask::Flush, Duration::ZERO);
        });
        assert_eq!(events.panics(), 3);
    }
}
