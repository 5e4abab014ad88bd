//! Each operation, applied to the store and to the model.

use std::time::Duration;

use sessile::testing::EngineFixture;
use sessile::{Session, SessionByKey, SessionOptions};

use super::Operation;
use super::pair::{Pair, refusal};
use crate::model::{Modelled, Refused};

impl<F: EngineFixture> Pair<F> {
    pub(super) fn apply(&mut self, operation: &Operation) {
        let store = self.store();
        // The number of an id or of a handle, if there is any.
        let id = |number: &usize| number.checked_rem(self.ids.len());
        let handle = |number: &usize| number.checked_rem(self.handles.len());
        match operation {
            Operation::Create(content) => {
                let modelled = self.model.create(None, *content, (None, None));
                self.created(store.create(*content), modelled);
            }
            Operation::CreateForUser(user, content) => {
                let modelled = self.model.create(Some(*user), *content, (None, None));
                self.created(store.create_for_user(*user, *content), modelled);
            }
            Operation::CreateWith(user, content, inactivity, absolute) => {
                let mut options = SessionOptions::new();
                if let Some(user) = user {
                    options = options.user(*user);
                }
                if let Some(inactivity) = inactivity {
                    options = options.inactivity(Duration::from_millis(*inactivity));
                }
                if let Some(absolute) = absolute {
                    options = options.absolute(Duration::from_millis(*absolute));
                }
                let modelled = self.model.create(*user, *content, (*inactivity, *absolute));
                self.created(store.create_with(*content, &options), modelled);
            }
            Operation::Clear => {
                store.clear().unwrap();
                self.model.sessions.clear();
            }
            Operation::Sweep => {
                assert_eq!(store.clean_up_expired().unwrap(), self.model.sweep());
            }
            Operation::Flush => {
                store.flush().unwrap();
                assert_eq!(store.stats().unwrap().pending_touches, 0);
            }
            Operation::DestroyAllOf(user) => {
                let modelled = self.model.remove(|session| session.user == Some(*user));
                assert_eq!(store.destroy_all_of(*user).unwrap(), modelled);
            }
            Operation::RenameUser(old, new) => {
                assert_eq!(store.rename_user(*old, *new).unwrap(), self.model.rename(*old, *new));
            }
            Operation::Forward(by) => {
                self.clock.advance(Duration::from_millis(*by));
                self.model.now += by;
            }
            Operation::Back(by) => {
                self.clock.go_back(Duration::from_millis(*by));
                self.model.now -= by;
            }
            Operation::Reopen(defaults) => {
                drop(store);
                self.store.take().unwrap().close().unwrap();
                self.model.defaults = defaults.unwrap_or(self.model.defaults);
                self.open();
            }
            Operation::Read(_)
            | Operation::ReadAndExtend(_)
            | Operation::Extend(_)
            | Operation::TakeHandle(_)
            | Operation::Modify(..)
            | Operation::ModifyKey(..)
            | Operation::DestroyOf(..)
            | Operation::Destroy(_)
            | Operation::DestroyKey(_) => {
                if let Some(id) = operation.number().and_then(id) {
                    self.apply_to_id(operation, id);
                }
            }
            Operation::ChangeHandle(..)
            | Operation::TimeHandle(..)
            | Operation::UpdateOthers(..)
            | Operation::Update(_)
            | Operation::Regenerate(_)
            | Operation::DestroyOthers(_) => {
                if let Some(handle) = operation.number().and_then(handle) {
                    self.apply_to_handle(operation, handle);
                }
            }
        }
    }

    fn apply_to_id(&mut self, operation: &Operation, number: usize) {
        let store = self.store();
        let id = self.ids[number].clone();
        match operation {
            Operation::ReadAndExtend(_) => {
                let extended = self.model.extend(number);
                let read = store.read_and_extend(&id).unwrap();
                assert_eq!(read.is_some(), extended);
                self.same_or_neither(read.as_ref(), self.model.read(number));
            }
            Operation::Extend(_) => {
                assert_eq!(store.extend_lifetime(&id).unwrap(), self.model.extend(number));
            }
            Operation::TakeHandle(_) => {
                let read = store.read(&id).unwrap();
                self.same_or_neither(read.as_ref(), self.model.read(number));
                let modelled = self.model.read(number).cloned();
                self.handles.extend(read.into_iter().zip(modelled));
            }
            Operation::Modify(_, content, user) => {
                let modelled = self.model.read(number).cloned().map(|mut session| {
                    (session.content, session.user) = (*content, *user);
                    self.model.save(&session, false)
                });
                let modified = refusal(store.modify(&id, |session| {
                    *session.content_mut() = *content;
                    set_user(session, *user);
                }));
                match (modified, modelled.transpose()) {
                    (Ok(real), Ok(modelled)) => {
                        self.same_or_neither(real.as_ref(), modelled.as_ref());
                    }
                    (real, modelled) => assert_eq!(real.unwrap_err(), modelled.unwrap_err()),
                }
            }
            Operation::ModifyKey(_, content) => {
                let key = id.key();
                let change = |session: &mut SessionByKey<u32>| {
                    std::mem::replace(session.content_mut(), *content)
                };
                let before = self.model.change(|session| session.id == number, *content);
                assert_eq!(store.modify_key(&key, change).unwrap(), before.first().copied());
            }
            Operation::DestroyOf(_, user) => {
                let is_theirs = |it: &Modelled| it.id == number && it.user == Some(*user);
                let modelled = self.model.remove(is_theirs);
                assert_eq!(u64::from(store.destroy_of(*user, &id.key()).unwrap()), modelled);
            }
            Operation::Destroy(_) => {
                let modelled = self.model.remove(|session| session.id == number);
                assert_eq!(u64::from(store.destroy(&id).unwrap()), modelled);
            }
            Operation::DestroyKey(_) => {
                let modelled = self.model.remove(|session| session.id == number);
                assert_eq!(u64::from(store.destroy_key(&id.key()).unwrap()), modelled);
            }
            // Every id is read after each operation anyway.
            _ => {}
        }
    }

    fn apply_to_handle(&mut self, operation: &Operation, number: usize) {
        let store = self.store();
        let (mut real, mut modelled) = self.handles[number].clone();
        match operation {
            Operation::ChangeHandle(_, content, user) => {
                *real.content_mut() = *content;
                set_user(&mut real, *user);
                (modelled.content, modelled.user) = (*content, *user);
            }
            Operation::TimeHandle(_, None) => {
                real.clear_timeouts();
                modelled.own = (None, None);
            }
            Operation::TimeHandle(_, Some((inactivity, absolute))) => {
                let set = real.set_timeouts(
                    Duration::from_millis(*inactivity),
                    Duration::from_millis(*absolute),
                );
                assert_eq!(set.is_ok(), *inactivity > 0 && inactivity <= absolute);
                if set.is_ok() {
                    modelled.own = (Some(*inactivity), Some(*absolute));
                }
            }
            Operation::UpdateOthers(_, content) => {
                let changed = self.model.update_others(modelled.id, *content);
                let others = store.update_others(&real, |other| *other.content_mut() = *content);
                assert_eq!(refusal(others), changed);
            }
            Operation::DestroyOthers(_) => {
                let others = self.model.destroy_others(modelled.id);
                assert_eq!(refusal(store.destroy_others(&real)), others);
            }
            _ => {
                let regenerate = matches!(operation, Operation::Regenerate(_));
                let result = match regenerate {
                    true => store.regenerate_id(&mut real),
                    false => store.update(&mut real),
                };
                let saved = self.model.save(&modelled, regenerate);
                assert_eq!(
                    refusal(result),
                    saved.as_ref().map(|_| ()).map_err(|e| match e {
                        Refused::Gone => Refused::Gone,
                        Refused::UserFull => Refused::UserFull,
                        Refused::InvalidTimeouts => Refused::InvalidTimeouts,
                        _ => Refused::Conflict,
                    })
                );
                if let Ok(saved) = saved {
                    if regenerate {
                        self.ids.push(real.id().clone());
                        self.model.keys.push(real.key());
                    }
                    self.same(&real, &saved);
                    assert!(!real.is_modified());
                    modelled = saved;
                }
            }
        }
        self.handles[number] = (real, modelled);
    }
}

fn set_user(session: &mut Session<u32>, user: Option<u8>) {
    match user {
        Some(user) => session.set_user(user),
        None => session.clear_user(),
    }
}
