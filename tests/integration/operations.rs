//! Operations on a store and on the model; both must agree on everything after each.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use sessile::testing::{EngineFixture, ManualClock};
use sessile::{
    Error, Session, SessionByKey, SessionId, SessionInfo, SessionOptions, SessionStore, Timeouts,
    UserLimit,
};

use crate::model::{Defaults, Millis, Model, Modelled, Refused};

/// Operations name sessions and handles by a number, taken modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create(u32),
    CreateForUser(u8, u32),
    CreateWith(Option<u8>, u32, Option<Millis>, Option<Millis>),
    Read(usize),
    ReadAndExtend(usize),
    Extend(usize),
    /// Takes another handle of a session. Updates through it are stale once another handle saved.
    TakeHandle(usize),
    ChangeHandle(usize, u32, Option<u8>),
    /// Sets the session's own timeouts, or the store's. They are stored when the handle is saved.
    TimeHandle(usize, Option<(Millis, Millis)>),
    Update(usize),
    Regenerate(usize),
    Modify(usize, u32, Option<u8>),
    ModifyKey(usize, u32),
    UpdateOthers(usize, u32),
    RenameUser(u8, u8),
    DestroyOf(usize, u8),
    Destroy(usize),
    DestroyKey(usize),
    DestroyAllOf(u8),
    DestroyOthers(usize),
    Clear,
    Sweep,
    Flush,
    Forward(Millis),
    Back(Millis),
    Reopen(Option<Defaults>),
}

pub(crate) const USERS: u8 = 4;
/// As many as the smallest sweep step removes, so that one step makes all the room.
const MAX_SESSIONS: usize = 8;
const START: Millis = 1_000_000;

/// Short, and from a few values, so that sessions meet their deadlines exactly.
fn timeout() -> impl Strategy<Value = Millis> {
    prop_oneof![Just(0), Just(1), Just(10), Just(20), Just(40), 0..50_u64]
}

fn defaults() -> impl Strategy<Value = Defaults> {
    use UserLimit::{EndLeastRecentlyActive, Refuse};
    let per_user = prop_oneof![
        2 => Just(None),
        1 => (1..4_usize).prop_map(|max| Some((max, Refuse))),
        2 => (1..4_usize).prop_map(|max| Some((max, EndLeastRecentlyActive))),
    ];
    (timeout(), timeout(), per_user).prop_map(|(a, b, per_user)| Defaults {
        inactivity: a.min(b).max(5),
        absolute: a.max(b).max(5) * 3,
        per_user,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let user = || 0..USERS;
    let owner = || proptest::option::of(0..USERS);
    let own = || proptest::option::of(timeout());
    prop_oneof![
        3 => any::<u32>().prop_map(Create),
        6 => (user(), any::<u32>()).prop_map(|(user, content)| CreateForUser(user, content)),
        4 => (owner(), any::<u32>(), own(), own()).prop_map(|(u, c, i, a)| CreateWith(u, c, i, a)),
        1 => any::<usize>().prop_map(Read),
        4 => any::<usize>().prop_map(ReadAndExtend),
        6 => any::<usize>().prop_map(Extend),
        3 => any::<usize>().prop_map(TakeHandle),
        3 => (any::<usize>(), any::<u32>(), owner()).prop_map(|(h, c, u)| ChangeHandle(h, c, u)),
        1 => (any::<usize>(), proptest::option::of((timeout(), timeout())))
            .prop_map(|(h, own)| TimeHandle(h, own)),
        6 => any::<usize>().prop_map(Update),
        4 => any::<usize>().prop_map(Regenerate),
        3 => (any::<usize>(), any::<u32>(), owner()).prop_map(|(s, c, u)| Modify(s, c, u)),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(s, c)| ModifyKey(s, c)),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(h, c)| UpdateOthers(h, c)),
        1 => (user(), user()).prop_map(|(old, new)| RenameUser(old, new)),
        1 => (any::<usize>(), user()).prop_map(|(s, u)| DestroyOf(s, u)),
        2 => any::<usize>().prop_map(Destroy),
        1 => any::<usize>().prop_map(DestroyKey),
        1 => user().prop_map(DestroyAllOf),
        1 => any::<usize>().prop_map(DestroyOthers),
        1 => Just(Clear),
        3 => Just(Sweep),
        3 => Just(Flush),
        8 => prop_oneof![Just(1), Just(5), Just(9), Just(10), 0..60_u64].prop_map(Forward),
        2 => prop_oneof![Just(1), Just(10), 0..60_u64].prop_map(Back),
        2 => proptest::option::of(defaults()).prop_map(Reopen),
    ]
}

/// The store under test beside its model. Both number ids and handles alike.
struct Pair<F: EngineFixture> {
    /// Dropped before its place.
    store: Option<SessionStore<u32>>,
    fixture: F,
    clock: ManualClock,
    model: Model,
    ids: Vec<SessionId>,
    handles: Vec<(Session<u32>, Modelled)>,
}

fn moment(millis: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

fn refusal<T: std::fmt::Debug>(result: sessile::Result<T>) -> Result<T, Refused> {
    result.map_err(|error| match error {
        Error::Gone { .. } => Refused::Gone,
        Error::Conflict { .. } => Refused::Conflict,
        Error::Full { .. } => Refused::Full,
        Error::UserFull { .. } => Refused::UserFull,
        Error::InvalidTimeouts(_) => Refused::InvalidTimeouts,
        other => panic!("{other}: {other:?}"),
    })
}

impl<F: EngineFixture> Pair<F> {
    fn new(defaults: Defaults) -> Self {
        let clock = ManualClock::new();
        clock.set_millis(START);
        let model = Model {
            sessions: vec![],
            defaults,
            on_record: None,
            waits: false,
            max_sessions: MAX_SESSIONS,
            now: START,
            ids: 0,
            keys: vec![],
        };
        let fixture = F::new();
        let mut pair = Self { fixture, clock, store: None, model, ids: vec![], handles: vec![] };
        pair.open();
        pair
    }

    fn open(&mut self) {
        self.model.open(self.model.defaults);
        let Defaults { inactivity, absolute, per_user } = self.model.defaults;
        let timeouts =
            Timeouts::new(Duration::from_millis(inactivity), Duration::from_millis(absolute));
        let mut builder = SessionStore::builder()
            .engine(self.fixture.open())
            .clock(self.clock.clone())
            .timeouts(timeouts.unwrap())
            .adopt_shorter_timeouts()
            .max_sessions(MAX_SESSIONS as u64)
            .manual_maintenance();
        if let Some((max, policy)) = per_user {
            builder = builder.max_sessions_per_user(max as u64, policy);
        }
        self.store = Some(builder.build().unwrap());
    }

    fn store(&self) -> SessionStore<u32> {
        self.store.clone().unwrap()
    }

    fn created(&mut self, real: sessile::Result<Session<u32>>, modelled: Result<usize, Refused>) {
        let real = refusal(real);
        assert_eq!(
            real.as_ref().map(|_| ()).map_err(|e| format!("{e:?}")),
            modelled.as_ref().map(|_| ()).map_err(|e| format!("{e:?}"))
        );
        let (Ok(session), Ok(_)) = (real, modelled) else { return };
        self.ids.push(session.id().clone());
        self.model.keys.push(session.key());
        let newest = self.model.sessions.last().unwrap().clone();
        self.same(&session, &newest);
        self.handles.push((session, newest));
    }

    /// Compares everything that a session shows.
    fn same(&self, real: &Session<u32>, modelled: &Modelled) {
        assert_eq!(real.id(), &self.ids[modelled.id]);
        assert_eq!(
            (real.user(), *real.content()),
            (modelled.user.map(Into::into).as_ref(), modelled.content)
        );
        assert_eq!(
            (real.created_at(), real.last_active(), real.expires_at()),
            (
                moment(modelled.created_at),
                moment(modelled.last_active),
                moment(self.model.deadline(modelled)),
            )
        );
    }

    fn same_or_neither(&self, real: Option<&Session<u32>>, modelled: Option<&Modelled>) {
        assert_eq!(real.is_some(), modelled.is_some(), "{real:?} for {modelled:?}");
        if let (Some(real), Some(modelled)) = (real, modelled) {
            self.same(real, modelled);
        }
    }

    fn apply(&mut self, operation: &Operation) {
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

    /// Compares everything that can be observed, of every id and every user there ever was.
    fn observe(&self) {
        let store = self.store();
        for (number, id) in self.ids.iter().enumerate() {
            self.same_or_neither(store.read(id).unwrap().as_ref(), self.model.read(number));
            let by_key = store.read_key(&id.key()).unwrap().map(SessionByKey::into_content);
            assert_eq!(by_key, self.model.read(number).map(|session| session.content));
        }
        let live = self.model.live();
        assert_eq!(store.len().unwrap(), live.len() as u64);
        let mut all = Vec::new();
        store.for_each(|info, content| all.push((info, content))).unwrap();
        self.same_lines(all.iter().map(|(info, _)| info), &live);
        let report = store.check().unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
        let stored = self.model.sessions.len();
        assert_eq!(
            (report.sessions, report.sessions + report.expired),
            (live.len() as u64, stored as u64)
        );
        for (info, content) in &all {
            let modelled = live.iter().find(|session| self.ids[session.id].key() == info.key());
            assert_eq!(*content, modelled.unwrap().content);
        }
        let mut pages: Vec<SessionInfo> = Vec::new();
        loop {
            let page = store.list(pages.last().map(SessionInfo::key), 3).unwrap();
            let is_last = page.len() < 3;
            pages.extend(page);
            if is_last {
                break;
            }
        }
        assert!(pages.is_sorted_by_key(SessionInfo::key));
        self.same_lines(pages.iter(), &live);
        let mut counts: Vec<_> = store.users(None, usize::MAX).unwrap();
        for user in 0..USERS {
            let of_user: Vec<_> =
                live.iter().copied().filter(|session| session.user == Some(user)).collect();
            self.same_lines(store.sessions_of(user).unwrap().iter(), &of_user);
            let with_content = store.sessions_of_with(user).unwrap();
            self.same_lines(with_content.iter().map(SessionByKey::info), &of_user);
            let counted = counts.iter().position(|(counted, _)| *counted == user.into());
            let sessions = counted.map_or(0, |at| counts.swap_remove(at).1);
            assert_eq!(sessions, of_user.len() as u64);
        }
        assert_eq!(counts, [], "nobody else has a session");
    }

    fn same_lines<'a>(&self, real: impl Iterator<Item = &'a SessionInfo>, modelled: &[&Modelled]) {
        let mut real: Vec<_> = real
            .map(|info| {
                let times = (info.created_at(), info.last_active(), info.expires_at());
                (info.key(), info.user().cloned(), times)
            })
            .collect();
        let mut modelled: Vec<_> = modelled
            .iter()
            .map(|session| {
                let times = (
                    moment(session.created_at),
                    moment(session.last_active),
                    moment(self.model.deadline(session)),
                );
                (self.ids[session.id].key(), session.user.map(Into::into), times)
            })
            .collect();
        real.sort();
        modelled.sort();
        assert_eq!(real, modelled);
    }
}

impl Operation {
    const fn number(&self) -> Option<&usize> {
        match self {
            Self::Read(number)
            | Self::ReadAndExtend(number)
            | Self::Extend(number)
            | Self::TakeHandle(number)
            | Self::ChangeHandle(number, ..)
            | Self::Update(number)
            | Self::Regenerate(number)
            | Self::Modify(number, ..)
            | Self::ModifyKey(number, _)
            | Self::UpdateOthers(number, _)
            | Self::TimeHandle(number, _)
            | Self::DestroyOf(number, _)
            | Self::Destroy(number)
            | Self::DestroyKey(number)
            | Self::DestroyOthers(number) => Some(number),
            _ => None,
        }
    }
}

fn set_user(session: &mut Session<u32>, user: Option<u8>) {
    match user {
        Some(user) => session.set_user(user),
        None => session.clear_user(),
    }
}

/// A store's first timeouts, and its operations.
pub(crate) fn scenario() -> impl Strategy<Value = (Defaults, Vec<Operation>)> {
    (defaults(), proptest::collection::vec(operation(), 1..80))
}

/// Runs the operations on a store and on the model, and compares everything after each.
pub(crate) fn check<F: EngineFixture>(defaults: Defaults, operations: &[Operation]) {
    let mut pair = Pair::<F>::new(defaults);
    for operation in operations {
        pair.apply(operation);
        pair.observe();
    }
}
