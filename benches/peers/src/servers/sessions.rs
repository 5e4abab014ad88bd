//! The crate's calls, on sessions whose results are known beforehand.

use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use serde::{Deserialize, Serialize};
use sessile::{Session, SessionId, SessionStore};

use crate::servers::Outcome;
use crate::servers::plain::Kind;

/// How many sessions each user of the population has.
pub(crate) const EACH: usize = 10;

/// How many threads create the population.
const CREATORS: usize = 16;

/// About 250 bytes when encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    number: u64,
    notes: String,
}

impl Content {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, notes: "n".repeat(245) }
    }

    /// Whether this is the content of the session with this number.
    pub(crate) const fn is(&self, number: u64) -> bool {
        self.number == number
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionCall {
    Read,
    /// On a server, with a `touch_interval` of an hour: no call writes.
    ReadAndExtend,
    ExtendLifetime,
    /// With a `touch_interval` of a millisecond, on a server: every call writes.
    ReadAndExtendWritten,
    ExtendLifetimeWritten,
    Create,
    CreateForUser,
    Update,
    Destroy,
    SessionsOf,
}

impl SessionCall {
    pub(crate) const ALL: [Self; 10] = [
        Self::Read,
        Self::ReadAndExtend,
        Self::ExtendLifetime,
        Self::ReadAndExtendWritten,
        Self::ExtendLifetimeWritten,
        Self::Create,
        Self::CreateForUser,
        Self::Update,
        Self::Destroy,
        Self::SessionsOf,
    ];

    /// The calls that are measured there. In a file every extension is written in the background.
    pub(crate) fn on(kind: Kind) -> impl Iterator<Item = Self> {
        let is_written = |call| matches!(call, Self::ReadAndExtendWritten | Self::ExtendLifetimeWritten);
        Self::ALL.into_iter().filter(move |call| kind != Kind::File || !is_written(*call))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "`read`",
            Self::ReadAndExtend => "`read_and_extend`",
            Self::ExtendLifetime => "`extend_lifetime`",
            Self::ReadAndExtendWritten => "`read_and_extend`, written",
            Self::ExtendLifetimeWritten => "`extend_lifetime`, written",
            Self::Create => "`create`",
            Self::CreateForUser => "`create_for_user`",
            Self::Update => "`update`",
            Self::Destroy => "`destroy`",
            Self::SessionsOf => "`sessions_of`, 10 sessions",
        }
    }
}

/// The sessions that are read, extended and listed, and never changed.
#[derive(Debug)]
pub(crate) struct Population {
    ids: Vec<SessionId>,
}

impl Population {
    pub(crate) fn create(store: &SessionStore<Content>, users: usize) -> Outcome<Self> {
        let ids = in_parallel(users * EACH, |number| {
            let session = store.create_for_user(user(number / EACH), Content::new(number as u64))?;
            Ok(session.id().clone())
        })?;
        Ok(Self { ids })
    }

    /// Checks that the population is unchanged.
    pub(crate) fn check(&self, store: &SessionStore<Content>) -> Outcome<()> {
        for (number, id) in self.ids.iter().enumerate().step_by(97) {
            let session = store.read(id)?.ok_or("a session was lost")?;
            ensure(*session.content() == Content::new(number as u64), "content was changed")?;
        }
        Ok(())
    }
}

fn user(number: usize) -> String {
    format!("user-{number}")
}

pub(crate) fn ensure(is_right: bool, otherwise: &'static str) -> Outcome<()> {
    if is_right { Ok(()) } else { Err(otherwise.into()) }
}

/// Calls with every number below a count, from several threads.
pub(crate) fn in_parallel<T: Send>(
    count: usize,
    create: impl Fn(usize) -> Outcome<T> + Sync,
) -> Outcome<Vec<T>> {
    let numbers: Vec<usize> = (0..count).collect();
    let parts: Outcome<Vec<Vec<T>>> = std::thread::scope(|scope| {
        let create = &create;
        let parts = numbers.chunks(count.div_ceil(CREATORS));
        let running: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(|number| create(*number)).collect()))
            .collect();
        running.into_iter().map(joined).collect()
    });
    Ok(parts?.into_iter().flatten().collect())
}

/// What a thread returned.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, Outcome<T>>) -> Outcome<T> {
    thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
}

/// Each thread uses the sessions in its own random order: xorshift64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(thread: usize) -> Self {
        // Any odd number will do; this one spreads the bits.
        Self((thread as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count as u64) as usize
    }
}

/// Handles of one store.
#[derive(Debug)]
pub(crate) struct Stores {
    /// On a server, with a `touch_interval` of an hour.
    pub(crate) usual: SessionStore<Content>,
    /// On a server, with a `touch_interval` of a millisecond.
    pub(crate) writing: Option<SessionStore<Content>>,
}

/// One thread's calls, and the sessions that it created.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: SessionStore<Content>,
    writing: Option<SessionStore<Content>>,
    population: Arc<Population>,
    own: Session<Content>,
    created: Vec<SessionId>,
    logins: u64,
    random: Random,
}

impl Sessions {
    pub(crate) fn new(stores: &Stores, population: &Arc<Population>, random: Random) -> Outcome<Self> {
        Ok(Self {
            store: stores.usual.clone(),
            writing: stores.writing.clone(),
            population: Arc::clone(population),
            own: stores.usual.create(Content::new(0))?,
            created: Vec::new(),
            logins: 0,
            random,
        })
    }

    /// Makes one call. `false` if there is no session left for it.
    pub(crate) fn call(&mut self, call: SessionCall) -> Outcome<bool> {
        let number = self.random.below(self.population.ids.len());
        let id = &self.population.ids[number];
        let extending = match call {
            SessionCall::ReadAndExtendWritten | SessionCall::ExtendLifetimeWritten => {
                self.writing.as_ref().ok_or("every call writes on a server alone")?
            }
            _ => &self.store,
        };
        match call {
            SessionCall::Read | SessionCall::ReadAndExtend | SessionCall::ReadAndExtendWritten => {
                let found = match call {
                    SessionCall::Read => self.store.read(id)?,
                    _ => extending.read_and_extend(id)?,
                };
                let session = found.ok_or("a session is gone")?;
                ensure(session.content().is(number as u64), "another session was read")?;
            }
            SessionCall::ExtendLifetime | SessionCall::ExtendLifetimeWritten => {
                ensure(extending.extend_lifetime(id)?, "a session is gone")?;
            }
            SessionCall::Create | SessionCall::CreateForUser => {
                self.logins += 1;
                let content = Content::new(self.logins);
                let session = match call {
                    SessionCall::Create => self.store.create(content)?,
                    _ => {
                        self.store.create_for_user(format!("{}-{}", self.own.key(), self.logins), content)?
                    }
                };
                self.created.push(session.id().clone());
            }
            SessionCall::Update => {
                self.own.content_mut().number += 1;
                self.store.update(&mut self.own)?;
            }
            SessionCall::Destroy => {
                let Some(id) = self.created.pop() else { return Ok(false) };
                ensure(self.store.destroy(&id)?, "a created session was missing")?;
            }
            SessionCall::SessionsOf => {
                let found = self.store.sessions_of(user(number / EACH))?;
                ensure(found.len() == EACH, "a user does not have the sessions that were created")?;
            }
        }
        Ok(true)
    }

    /// Checks the sessions that the calls have left.
    pub(crate) fn end(&self) -> Outcome<()> {
        let stored = self.store.read(self.own.id())?.ok_or("the updated session is gone")?;
        ensure(stored.content() == self.own.content(), "an update was lost")?;
        for id in self.created.iter().rev().take(100) {
            ensure(self.store.read(id)?.is_some(), "a created session is gone")?;
        }
        Ok(())
    }
}
