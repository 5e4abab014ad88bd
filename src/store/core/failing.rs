//! The background tasks that currently fail, with their errors.

use crate::error::Error;

/// The tasks of the background threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Flush,
    Sweep,
    /// Background work that the engine asked for through its waker.
    Work,
}

/// The last error of each failing task, the latest error at the end.
#[derive(Debug, Default)]
pub(crate) struct Failing(Vec<(Task, Error)>);

impl Failing {
    /// Records that a task failed or succeeded, and returns its previous error. The caller drops
    /// that error without a lock held, because dropping an engine's error may run any code.
    pub(crate) fn note(&mut self, task: Task, failure: Option<Error>) -> Option<Error> {
        let place = self.0.iter().position(|(failed, _)| *failed == task);
        let before = place.map(|place| self.0.remove(place).1);
        self.0.extend(failure.map(|failure| (task, failure)));
        before
    }

    pub(crate) fn last(&self) -> Option<Error> {
        self.0.last().map(|(_, failure)| failure.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_goes_well_hides_no_failure_of_another() {
        let mut failing = Failing::default();
        assert!(failing.last().is_none());
        assert!(failing.note(Task::Flush, Some(Error::Closed)).is_none());
        let full = Error::Full { max: 1 };
        assert!(failing.note(Task::Sweep, Some(full)).is_none());
        assert!(matches!(failing.last(), Some(Error::Full { .. })));
        assert!(matches!(failing.note(Task::Sweep, None), Some(Error::Full { .. })));
        assert!(failing.note(Task::Work, None).is_none());
        assert!(matches!(failing.last(), Some(Error::Closed)), "it fails still");
        assert!(failing.note(Task::Flush, None).is_some() && failing.last().is_none());
    }
}
