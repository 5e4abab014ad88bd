//! Whether what several threads were told of one session can have happened in some order.
//!
//! Every saved content is different, so a content names the revision it was saved with.

use std::collections::HashSet;

/// An operation on the session, and what it was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Read(Option<u64>),
    /// Through a handle that held `base`; saved, or the session had changed, or was gone.
    Update {
        base: u64,
        new: u64,
        answer: Answer,
    },
    Modify {
        new: u64,
        found: bool,
    },
    Extend(bool),
    Destroy(bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Saved,
    Conflict,
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) call: Call,
}

/// The state after a call, if that state can give that answer.
fn after(state: Option<u64>, call: Call) -> Option<Option<u64>> {
    let (possible, next) = match call {
        Call::Read(seen) => (seen == state, state),
        Call::Update { base, new, answer } => match (state, answer) {
            (Some(content), Answer::Saved) => (content == base, Some(new)),
            (Some(content), Answer::Conflict) => (content != base, state),
            (None, Answer::Gone) => (true, None),
            _ => (false, state),
        },
        Call::Modify { new, found } => (found == state.is_some(), state.map(|_| new)),
        Call::Extend(found) => (found == state.is_some(), state),
        Call::Destroy(found) => (found == state.is_some(), None),
    };
    possible.then_some(next)
}

/// Tries every order in which no call comes after one that began when it had ended.
pub(crate) fn is_linearizable(events: &[Event], initial: Option<u64>) -> bool {
    assert!(events.len() <= 64, "one bit for each event");
    let mut tried = HashSet::new();
    let mut open = vec![(0_u64, initial)];
    while let Some((done, state)) = open.pop() {
        if !tried.insert((done, state)) {
            continue;
        }
        let left = || (0..events.len()).filter(|index| done & (1 << index) == 0);
        let Some(first_end) = left().map(|index| events[index].ended).min() else { return true };
        for index in left().filter(|index| events[*index].began <= first_end) {
            if let Some(next) = after(state, events[index].call) {
                open.push((done | (1 << index), next));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(calls: &[(u64, u64, Call)]) -> bool {
        let event = |&(began, ended, call)| Event { began, ended, call };
        is_linearizable(&calls.iter().map(event).collect::<Vec<_>>(), Some(0))
    }

    #[test]
    fn what_overlaps_may_have_happened_in_either_order() {
        let (destroy, found) = ((1, 4, Call::Destroy(true)), Call::Read(Some(0)));
        assert!(history(&[destroy, (2, 3, found)]));
        assert!(history(&[destroy, (2, 3, Call::Read(None))]));
    }

    #[test]
    fn a_read_after_a_destruction_finds_nothing() {
        assert!(!history(&[(1, 2, Call::Destroy(true)), (3, 4, Call::Read(Some(0)))]));
        assert!(!history(&[(1, 2, Call::Destroy(true)), (3, 4, Call::Extend(true))]));
        assert!(!history(&[(1, 2, Call::Read(None))]));
    }

    #[test]
    fn two_updates_of_one_revision_are_not_both_saved() {
        let update = |new, answer| Call::Update { base: 0, new, answer };
        let saved = (1, 4, update(1, Answer::Saved));
        assert!(!history(&[saved, (2, 3, update(2, Answer::Saved))]));
        assert!(history(&[saved, (2, 3, update(2, Answer::Conflict))]));
        assert!(!history(&[(1, 2, update(1, Answer::Saved)), (3, 4, Call::Read(Some(0)))]));
    }
}
