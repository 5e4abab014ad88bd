//! The child's reports to the parent, and their comparison with the file.

use std::collections::HashMap;

use sessile::{SessionId, SessionKey, SessionStore};

use super::{Content, Place, SAYS, Verb};

/// The reports: the acknowledged state of each place, and the call under way of each thread.
#[derive(Default)]
pub(super) struct Told {
    pub(super) slots: HashMap<Place, (SessionId, u64)>,
    pub(super) begun: HashMap<u64, (u64, Verb, u64)>,
    pub(super) acknowledged: u64,
}

impl Told {
    pub(super) fn listen(&mut self, line: &str) {
        let Some((_, said)) = line.split_once(SAYS) else { return };
        let words: Vec<&str> = said.split(' ').collect();
        let [thread, slot, number] = [1, 2, 4].map(|at| words[at].parse().unwrap());
        let verb = Verb::parse(words[3]);
        if words[0] == "began" {
            self.begun.insert(thread, (slot, verb, number));
            return;
        }
        self.begun.remove(&thread);
        self.acknowledged += 1;
        if verb == Verb::DestroyAll {
            self.slots.retain(|(owner, _), _| *owner != thread);
        } else if words[5] == "none" {
            self.slots.remove(&(thread, slot));
        } else {
            let id = SessionId::parse(words[5]).unwrap();
            self.slots.insert((thread, slot), (id, number));
        }
    }

    /// Compares a place with the file, and forgets an id that it cannot know.
    pub(super) fn compare(&mut self, store: &SessionStore<Content>, place: Place, found: &[Found]) {
        let known = self.slots.get(&place).cloned();
        let begun = self
            .begun
            .get(&place.0)
            .filter(|(slot, verb, _)| *slot == place.1 || *verb == Verb::DestroyAll);
        let story = format!("{place:?}: told {known:?}, begun {begun:?}, found {found:?}");
        let Some(Found { key, number }) = found.first() else {
            let may_be_gone =
                begun.is_some_and(|(_, verb, _)| matches!(verb, Verb::Destroy | Verb::DestroyAll));
            assert!(known.is_none() || may_be_gone, "acknowledged, and lost: {story}");
            self.slots.remove(&place);
            return;
        };
        assert_eq!(found.len(), 1, "a session of each id: {story}");
        if let Some((id, told)) = &known
            && told == number
        {
            assert_eq!(id.key(), *key, "{story}");
            assert_eq!(store.read(id).unwrap().unwrap().content(), &(place, *number), "{story}");
            return;
        }
        // Otherwise the call under way must have written it.
        assert!(begun.is_some_and(|(_, _, begun)| begun == number), "{story}");
        let verb = begun.map(|(_, verb, _)| *verb).unwrap();
        match known {
            Some((id, _)) if matches!(verb, Verb::Update | Verb::Modify) => {
                assert_eq!(id.key(), *key, "{story}");
                self.slots.insert(place, (id, *number));
            }
            known => {
                assert!(matches!(verb, Verb::Create | Verb::Regenerate), "{story}");
                if let Some((id, _)) = known {
                    assert!(store.read(&id).unwrap().is_none(), "both ids are valid: {story}");
                }
                // Only the killed process knew this id.
                assert!(store.destroy_key(key).unwrap());
                self.slots.remove(&place);
            }
        }
    }
}

/// A session in the file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: SessionKey,
    pub(super) number: u64,
}
