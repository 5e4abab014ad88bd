//! The common tools of the cases: a store on a fixture with a manual clock, content of two types,
//! and the check that a session is absent.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::engine::contract::Engine;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::session::attributes::Attributes;
use crate::session::id::SessionId;
use crate::session::info::SessionInfo;
use crate::session::options::SessionOptions;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::store::by_key::SessionByKey;
use crate::testing::{EngineFixture, ManualClock};
use crate::time::timeouts::Timeouts;

pub(super) const INACTIVITY: Duration = Duration::from_secs(10);
pub(super) const ABSOLUTE: Duration = Duration::from_secs(60);
pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) struct Setup<F> {
    pub(super) fixture: F,
    pub(super) clock: ManualClock,
}

impl<F: EngineFixture> Setup<F> {
    pub(super) fn new() -> Self {
        Self { fixture: F::new(), clock: ManualClock::new() }
    }

    /// A store on a newly opened engine, without maintenance threads.
    pub(super) fn builder<C: Serialize + DeserializeOwned>(&self) -> Builder<C> {
        self.builder_on(self.fixture.open())
    }

    /// As `builder`, on an engine that is already open.
    pub(super) fn builder_on<C: Serialize + DeserializeOwned>(
        &self,
        engine: impl Engine,
    ) -> Builder<C> {
        SessionStore::builder()
            .engine(engine)
            .clock(self.clock.clone())
            // So that every touch is kept.
            .touch_interval(MS)
            .timeouts(Timeouts::new(INACTIVITY, ABSOLUTE).unwrap())
            .manual_maintenance()
    }

    pub(super) fn store<C: Serialize + DeserializeOwned>(&self) -> SessionStore<C> {
        self.builder().build().unwrap()
    }

    pub(super) fn store_with(&self, timeouts: Timeouts) -> SessionStore<u64> {
        self.builder().timeouts(timeouts).build().unwrap()
    }
}

/// Content that a case identifies by a number.
pub(super) trait Sample:
    Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
    fn sample(number: u64) -> Self;
    fn number(&self) -> u64;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cart {
    owner: Option<String>,
    items: Vec<(u32, String)>,
    total: u64,
}

impl Sample for Cart {
    fn sample(number: u64) -> Self {
        Self { owner: Some("Ann".into()), items: vec![(1, "tea".into())], total: number }
    }
    fn number(&self) -> u64 {
        assert_eq!(*self, Self::sample(self.total), "the rest came back as well");
        self.total
    }
}

impl Sample for Attributes {
    fn sample(number: u64) -> Self {
        let mut attributes = Self::new();
        attributes.set("number", number).unwrap();
        attributes.set("list", ["a", "b"]).unwrap();
        attributes
    }
    fn number(&self) -> u64 {
        let list: Option<Vec<String>> = self.get("list").unwrap();
        assert_eq!(list.unwrap(), ["a", "b"], "the rest came back as well");
        self.get("number").unwrap().unwrap()
    }
}

impl Sample for u64 {
    fn sample(number: u64) -> Self {
        number
    }
    fn number(&self) -> u64 {
        *self
    }
}

pub(super) fn created<C: Sample>(store: &SessionStore<C>, number: u64) -> Session<C> {
    store.create(C::sample(number)).unwrap()
}

pub(super) fn created_for<C: Sample>(
    store: &SessionStore<C>,
    user: impl Into<UserId>,
    number: u64,
) -> Session<C> {
    store.create_for_user(user, C::sample(number)).unwrap()
}

pub(super) fn options() -> SessionOptions {
    SessionOptions::new()
}

/// The session under an id, which must be there.
pub(super) fn stored<C: Sample>(store: &SessionStore<C>, id: &SessionId) -> Session<C> {
    store.read(id).unwrap().expect("the session is there")
}

pub(super) fn listed<C: Sample>(
    store: &SessionStore<C>,
    user: impl Into<UserId>,
) -> Vec<SessionInfo> {
    let mut sessions = store.sessions_of(user).unwrap();
    sessions.sort_by_key(SessionInfo::key);
    sessions
}

pub(super) fn keys_listed<C: Sample>(
    store: &SessionStore<C>,
    user: impl Into<UserId>,
) -> Vec<crate::key::SessionKey> {
    listed(store, user).iter().map(SessionInfo::key).collect()
}

/// The sessions that `for_each` visits, by key.
pub(super) fn visited<C: Sample>(store: &SessionStore<C>) -> Vec<(crate::key::SessionKey, u64)> {
    let mut all = Vec::new();
    let count = store.for_each(|info, content| all.push((info.key(), content.number()))).unwrap();
    assert_eq!(count, all.len() as u64, "`for_each` returns how many it showed");
    all.sort_unstable();
    all
}

/// A change for `modify` that must not run.
pub(super) fn never_called<C>(session: &mut Session<C>) {
    panic!("there is nothing to modify, and yet there is {session:?}");
}

/// A change for `modify_key` that must not run.
fn never_called_by_key<C>(session: &mut SessionByKey<C>) {
    panic!("there is nothing to modify, and yet there is {:?}", session.info());
}

/// Calls every method; each must answer that there is no such session.
pub(super) fn assert_absent<C: Sample>(store: &SessionStore<C>, session: &Session<C>) {
    let (id, key) = (session.id(), session.key());
    assert!(store.read(id).unwrap().is_none(), "read");
    assert!(store.read_and_extend(id).unwrap().is_none(), "read_and_extend");
    assert!(!store.extend_lifetime(id).unwrap(), "extend_lifetime");
    assert_gone(store.update(&mut session.clone()), "update");
    let modified = store.modify(id, never_called).unwrap();
    assert!(modified.is_none(), "modify");
    let mut regenerated = session.clone();
    assert_gone(store.regenerate_id(&mut regenerated), "regenerate_id");
    assert_eq!(regenerated.id(), id, "a failed regeneration leaves the session its id");
    assert!(store.read_key(&key).unwrap().is_none(), "read_key");
    assert!(store.modify_key(&key, never_called_by_key).unwrap().is_none(), "modify_key");
    if let Some(user) = session.user() {
        assert!(!keys_listed(store, user).contains(&key), "sessions_of");
        let with_content = store.sessions_of_with(user).unwrap();
        assert!(with_content.iter().all(|shown| shown.info().key() != key), "sessions_of_with");
        assert!(!store.destroy_of(user, &key).unwrap(), "destroy_of");
    }
    let page = store.list(None, usize::MAX).unwrap();
    assert!(page.iter().all(|shown| shown.key() != key), "list");
    assert!(visited(store).iter().all(|(shown, _)| *shown != key), "for_each");
    assert_gone(store.destroy_others(session), "destroy_others");
    assert!(!store.destroy(id).unwrap(), "destroy");
    assert!(!store.destroy_key(&key).unwrap(), "destroy_key");
    assert!(store.read(id).unwrap().is_none(), "none of these brought it back");
}

pub(super) fn assert_gone<T: std::fmt::Debug>(result: Result<T>, method: &str) {
    assert!(matches!(result, Err(Error::Gone { .. })), "{method}: {result:?}");
}

pub(super) fn assert_conflict<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Conflict { .. })), "{result:?}");
}
