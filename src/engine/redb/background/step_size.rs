//! The size of a step of background work: large while nobody else writes, small as soon as somebody
//! does.
//!
//! A commit costs the same whether it changes one session or many, and neighbouring keys share
//! pages, so large steps are cheap. But a writer that arrives meanwhile waits for the running step.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The size while others write, in sessions.
const LEAST: usize = 16;

#[derive(Debug)]
pub(in crate::engine::redb) struct StepSize {
    step: AtomicUsize,
    /// The number of committed operations after the previous step.
    operations: AtomicU64,
}

impl StepSize {
    pub(in crate::engine::redb) const fn new() -> Self {
        Self { step: AtomicUsize::new(LEAST), operations: AtomicU64::new(0) }
    }

    pub(in crate::engine::redb) fn step(&self, limit: usize) -> usize {
        self.step.load(Ordering::Relaxed).min(limit)
    }

    /// Chooses the next size after a step; true if nobody else writes. `somebody_waits` says
    /// whether a writer waits now. `operations` counts the committed operations, including the
    /// step.
    pub(in crate::engine::redb) fn adapt(
        &self,
        somebody_waits: bool,
        operations: u64,
        limit: usize,
    ) -> bool {
        let before = self.operations.swap(operations, Ordering::Relaxed);
        let alone = !somebody_waits && operations.saturating_sub(before) <= 1;
        let step = match alone {
            true => (self.step(limit) * 2).clamp(LEAST, limit.max(LEAST)),
            false => LEAST,
        };
        self.step.store(step, Ordering::Relaxed);
        alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_while_nobody_writes_and_fall_at_once_when_somebody_does() {
        let step_size = StepSize::new();
        let mut steps = Vec::new();
        for operation in 1..=9 {
            steps.push(step_size.step(1_000));
            step_size.adapt(false, operation, 1_000);
        }
        assert_eq!(steps, [16, 32, 64, 128, 256, 512, 1_000, 1_000, 1_000]);
        step_size.adapt(true, 10, 1_000);
        assert_eq!((step_size.step(1_000), step_size.step(5)), (LEAST, 5));
        step_size.adapt(false, 11, 1_000);
        assert_eq!(step_size.step(1_000), 2 * LEAST);
        step_size.adapt(false, 13, 1_000);
        assert_eq!(step_size.step(1_000), LEAST, "another operation shared the commit");
    }
}
