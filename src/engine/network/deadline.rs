//! The time limit of a call, and the pause between two tries.
//!
//! Invariant: every wait of a network engine ends at its call's deadline. Only this file of the
//! folder reads the monotonic clock.

use std::thread;
use std::time::{Duration, Instant};

use crate::random::fraction;

/// The moment at which a call gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline that is `duration` from now.
    pub(crate) fn after(duration: Duration) -> Self {
        // A deadline past the clock's range cannot be represented; now is the safe answer.
        Self(now().checked_add(duration).unwrap_or_else(now))
    }

    /// The deadline for the goodbye of a connection whose last call may have been long ago.
    pub(crate) fn for_a_goodbye() -> Self {
        Self::after(Duration::from_millis(100))
    }

    /// This deadline, or `duration` from now, whichever is earlier.
    pub(crate) fn within(self, duration: Duration) -> Self {
        self.min(Self::after(duration))
    }

    /// The time left; `None` once the deadline has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }

    /// The deadline as the standard library's type, for waiting on a condition variable.
    pub(crate) const fn as_instant(self) -> Instant {
        self.0
    }
}

/// A past moment, to measure the time since then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since(Instant);

impl Since {
    pub(crate) fn now() -> Self {
        Self(now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        now().saturating_duration_since(self.0)
    }

    /// The moment that was so long ago.
    #[cfg(test)]
    pub(crate) fn ago(duration: Duration) -> Self {
        Self(now().checked_sub(duration).unwrap())
    }
}

/// The pause between tries: 20 ms, doubling up to half a second, with a random part so that many
/// callers do not return at once. After transactions that met, it is shorter.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    step: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_millis(500);
    const FIRST_STEP: Duration = Duration::from_millis(8);
    const LONGEST_STEP: Duration = Duration::from_millis(128);

    pub(crate) const fn new() -> Self {
        Self { pause: Self::FIRST, step: Self::FIRST_STEP }
    }

    /// Sleeps for the next pause; returns `false` at once if the deadline would pass meanwhile.
    pub(crate) fn wait(&mut self, deadline: Deadline) -> bool {
        let pause = self.pause.mul_f32(0.75 + 0.5 * fraction());
        self.pause = self.pause.saturating_mul(2).min(Self::LONGEST);
        self.sleep(pause, deadline)
    }

    /// Sleeps for a short, random time after the server rolled back a transaction because of
    /// another. The more transactions meet, the further apart they have to begin.
    pub(crate) fn step_aside(&mut self, deadline: Deadline) -> bool {
        let pause = self.step.mul_f32(fraction());
        self.step = self.step.saturating_mul(2).min(Self::LONGEST_STEP);
        self.sleep(pause, deadline)
    }

    fn sleep(&self, pause: Duration, deadline: Deadline) -> bool {
        let fits = deadline.remaining().is_some_and(|left| left > pause);
        if fits {
            thread::sleep(pause);
        }
        fits
    }
}

#[allow(clippy::disallowed_methods, reason = "this folder's one home of the monotonic clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_has_passed_leaves_nothing_to_wait_for() {
        let passed = Deadline::after(Duration::ZERO);
        assert_eq!(passed.remaining(), None);
        assert!(!Backoff::new().wait(passed));
        let later = Deadline::after(Duration::from_secs(3_600));
        assert!(later.remaining().is_some());
        assert!(later.within(Duration::from_secs(1)) < later);
        assert_eq!(passed.within(Duration::from_secs(1)), passed);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let mut backoff = Backoff::new();
        let passed = Deadline::after(Duration::ZERO);
        (0..20).for_each(|_| assert!(!backoff.wait(passed)));
        assert_eq!(backoff.pause, Backoff::LONGEST);
        (0..20).for_each(|_| assert!(!backoff.step_aside(passed)));
        assert_eq!(backoff.step, Backoff::LONGEST_STEP);
    }
}
