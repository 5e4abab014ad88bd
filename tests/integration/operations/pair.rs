//! The store beside its model, and everything of both that is compared.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Error, Session, SessionByKey, SessionId, SessionInfo, SessionStore, Timeouts};

use super::USERS;
use crate::model::{Defaults, Millis, Model, Modelled, Refused};

/// As many as the smallest sweep step removes, so that one step makes all the room.
const MAX_SESSIONS: usize = 8;
const START: Millis = 1_000_000;

/// The store under test beside its model. Both number ids and handles alike.
pub(super) struct Pair<F: EngineFixture> {
    /// Dropped before its place.
    pub(super) store: Option<SessionStore<u32>>,
    fixture: F,
    pub(super) clock: ManualClock,
    pub(super) model: Model,
    pub(super) ids: Vec<SessionId>,
    pub(super) handles: Vec<(Session<u32>, Modelled)>,
}

fn moment(millis: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

pub(super) fn refusal<T: std::fmt::Debug>(result: sessile::Result<T>) -> Result<T, Refused> {
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
    pub(super) fn new(defaults: Defaults) -> Self {
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

    pub(super) fn open(&mut self) {
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

    pub(super) fn store(&self) -> SessionStore<u32> {
        self.store.clone().unwrap()
    }

    pub(super) fn created(
        &mut self,
        real: sessile::Result<Session<u32>>,
        modelled: Result<usize, Refused>,
    ) {
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
    pub(super) fn same(&self, real: &Session<u32>, modelled: &Modelled) {
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

    pub(super) fn same_or_neither(&self, real: Option<&Session<u32>>, modelled: Option<&Modelled>) {
        assert_eq!(real.is_some(), modelled.is_some(), "{real:?} for {modelled:?}");
        if let (Some(real), Some(modelled)) = (real, modelled) {
            self.same(real, modelled);
        }
    }

    /// Compares everything that can be observed, of every id and every user there ever was.
    pub(super) fn observe(&self) {
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
