//! Checks whether the answers of several threads about one session are linearizable.
//!
//! Every saved content is different, so a content identifies the revision that it was saved with.

mod callers;

use std::collections::HashSet;

/// A session id as a number; a regeneration gives the next number.
type IdNumber = u64;

/// A call on the session, through one of its ids, and its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Call {
    id: IdNumber,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// A read, an extending read, or a listing.
    Read(Option<u64>),
    /// A save through a handle that held `base`. It was saved, or the session had changed or was
    /// gone.
    Update {
        base: u64,
        new: u64,
        answer: Answer,
    },
    /// As an update, and under a new id if it was saved.
    Regenerate {
        base: u64,
        new: u64,
        new_id: IdNumber,
        answer: Answer,
    },
    Modify {
        new: u64,
        found: bool,
    },
    Extend(bool),
    Destroy(bool),
    /// Ends every session of the user, whatever its id.
    DestroyAll(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Saved,
    Conflict,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    began: u64,
    ended: u64,
    call: Call,
}

/// The session's id and content; `None` once it is destroyed.
type State = Option<(IdNumber, u64)>;

/// The state after a call, if the given state allows its answer.
fn after(state: State, call: Call) -> Option<State> {
    // Under another id there is no session.
    let content = state.filter(|(id, _)| *id == call.id).map(|(_, content)| content);
    let here = |content| Some((call.id, content));
    let (possible, next) = match call.what {
        What::Read(seen) => (seen == content, state),
        What::Update { base, new, answer } => (
            answer == save(content, base),
            match answer {
                Answer::Saved => here(new),
                _ => state,
            },
        ),
        What::Regenerate { base, new, new_id, answer } => (
            answer == save(content, base),
            match answer {
                Answer::Saved => Some((new_id, new)),
                _ => state,
            },
        ),
        What::Modify { new, found } => {
            (found == content.is_some(), if found { here(new) } else { state })
        }
        What::Extend(found) => (found == content.is_some(), state),
        What::Destroy(found) => (found == content.is_some(), if found { None } else { state }),
        What::DestroyAll(count) => (count == u64::from(state.is_some()), None),
    };
    possible.then_some(next)
}

/// The right answer to a save of a handle that holds `base`.
fn save(stored: Option<u64>, base: u64) -> Answer {
    match stored {
        None => Answer::Gone,
        Some(content) if content == base => Answer::Saved,
        Some(_) => Answer::Conflict,
    }
}

/// Tries every order in which a call that ended before another began comes first.
fn is_linearizable(events: &[Event], initial: State) -> bool {
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

    fn history(calls: &[(u64, u64, What)]) -> bool {
        let under_first = |&(began, ended, what)| (began, ended, Call { id: 0, what });
        history_of(&calls.iter().map(under_first).collect::<Vec<_>>())
    }

    fn history_of(calls: &[(u64, u64, Call)]) -> bool {
        let event = |&(began, ended, call)| Event { began, ended, call };
        is_linearizable(&calls.iter().map(event).collect::<Vec<_>>(), Some((0, 0)))
    }

    #[test]
    fn what_overlaps_may_have_happened_in_either_order() {
        let (destroy, found) = ((1, 4, What::Destroy(true)), What::Read(Some(0)));
        assert!(history(&[destroy, (2, 3, found)]));
        assert!(history(&[destroy, (2, 3, What::Read(None))]));
    }

    #[test]
    fn a_read_after_a_destruction_finds_nothing() {
        assert!(!history(&[(1, 2, What::Destroy(true)), (3, 4, What::Read(Some(0)))]));
        assert!(!history(&[(1, 2, What::Destroy(true)), (3, 4, What::Extend(true))]));
        assert!(!history(&[(1, 2, What::DestroyAll(1)), (3, 4, What::Destroy(true))]));
        assert!(!history(&[(1, 2, What::Read(None))]));
    }

    #[test]
    fn two_updates_of_one_revision_are_not_both_saved() {
        let update = |new, answer| What::Update { base: 0, new, answer };
        let saved = (1, 4, update(1, Answer::Saved));
        assert!(!history(&[saved, (2, 3, update(2, Answer::Saved))]));
        assert!(history(&[saved, (2, 3, update(2, Answer::Conflict))]));
        assert!(!history(&[(1, 2, update(1, Answer::Saved)), (3, 4, What::Read(Some(0)))]));
    }

    #[test]
    fn a_regeneration_ends_the_old_id_when_it_begins_the_new_one() {
        let call = |id, what| Call { id, what };
        let moved = |new_id, answer| call(0, What::Regenerate { base: 0, new: 1, new_id, answer });
        let first = (1, 2, moved(7, Answer::Saved));
        assert!(history_of(&[first, (3, 4, call(7, What::Read(Some(1))))]));
        assert!(!history_of(&[first, (3, 4, call(7, What::Read(None)))]), "neither is valid");
        assert!(!history_of(&[first, (3, 4, call(0, What::Extend(true)))]), "both are valid");
        assert!(history_of(&[first, (1, 2, moved(8, Answer::Gone))]));
        assert!(!history_of(&[first, (1, 2, moved(8, Answer::Saved))]), "both win");
        assert!(!history_of(&[first, (3, 4, call(7, What::DestroyAll(0)))]));
    }
}
