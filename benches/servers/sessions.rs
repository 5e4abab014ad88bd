//! The crate's calls, on sessions of which each answer is known beforehand.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sessile::{Session, SessionId, SessionStore};

use crate::Outcome;

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
    fn new(number: u64) -> Self {
        Self { number, notes: "n".repeat(245) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionCall {
    Read,
    ReadAndExtend,
    ExtendLifetime,
    CreateForUser,
    Update,
    Destroy,
    SessionsOf,
}

impl SessionCall {
    pub(crate) const ALL: [Self; 7] = [
        Self::Read,
        Self::ReadAndExtend,
        Self::ExtendLifetime,
        Self::CreateForUser,
        Self::Update,
        Self::Destroy,
        Self::SessionsOf,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "`read`",
            Self::ReadAndExtend => "`read_and_extend`",
            Self::ExtendLifetime => "`extend_lifetime`",
            Self::CreateForUser => "`create_for_user`",
            Self::Update => "`update`",
            Self::Destroy => "`destroy`",
            Self::SessionsOf => "`sessions_of`, 10 sessions",
        }
    }
}

/// The sessions that are read, kept alive and listed; they stay as they are.
#[derive(Debug)]
pub(crate) struct Population {
    ids: Vec<SessionId>,
}

impl Population {
    pub(crate) fn create(store: &SessionStore<Content>, users: usize) -> Outcome<Self> {
        let numbers: Vec<usize> = (0..users * EACH).collect();
        let create = |number: &usize| -> Outcome<SessionId> {
            let session =
                store.create_for_user(user(number / EACH), Content::new(*number as u64))?;
            Ok(session.id().clone())
        };
        let parts: Outcome<Vec<Vec<SessionId>>> = std::thread::scope(|scope| {
            let parts = numbers.chunks(numbers.len().div_ceil(CREATORS));
            let running: Vec<_> = parts
                .map(|part| scope.spawn(move || part.iter().map(create).collect::<Outcome<_>>()))
                .collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        Ok(Self { ids: parts?.concat() })
    }

    /// Whether the population is what it was.
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

fn ensure(is_right: bool, otherwise: &'static str) -> Outcome<()> {
    if is_right { Ok(()) } else { Err(otherwise.into()) }
}

/// One thread's part of the store.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: SessionStore<Content>,
    population: Arc<Population>,
    own: Session<Content>,
    created: Vec<SessionId>,
    logins: u64,
    random: u64,
}

impl Sessions {
    pub(crate) fn new(
        store: &SessionStore<Content>,
        population: &Arc<Population>,
    ) -> Outcome<Self> {
        let own = store.create(Content::new(0))?;
        // Each thread goes through the sessions in an order of its own.
        let mut random = [0; 8];
        random.copy_from_slice(&own.key().to_string().as_bytes()[..8]);
        Ok(Self {
            store: store.clone(),
            population: Arc::clone(population),
            own,
            created: Vec::new(),
            logins: 0,
            random: u64::from_le_bytes(random) | 1,
        })
    }

    fn next(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % self.population.ids.len() as u64) as usize
    }

    /// Carries out one call. `false`: there is nothing left to do it to.
    pub(crate) fn call(&mut self, call: SessionCall) -> Outcome<bool> {
        let number = self.next();
        let id = &self.population.ids[number];
        match call {
            SessionCall::Read | SessionCall::ReadAndExtend => {
                let found = match call {
                    SessionCall::Read => self.store.read(id)?,
                    _ => self.store.read_and_extend(id)?,
                };
                let session = found.ok_or("a session is gone")?;
                ensure(session.content().number == number as u64, "another session was read")?;
            }
            SessionCall::ExtendLifetime => {
                ensure(self.store.extend_lifetime(id)?, "a session is gone")?;
            }
            SessionCall::CreateForUser => {
                self.logins += 1;
                let user = format!("{}-{}", self.own.key(), self.logins);
                let session = self.store.create_for_user(user, Content::new(self.logins))?;
                self.created.push(session.id().clone());
            }
            SessionCall::Update => {
                self.own.content_mut().number += 1;
                self.store.update(&mut self.own)?;
            }
            SessionCall::Destroy => {
                let Some(id) = self.created.pop() else { return Ok(false) };
                ensure(self.store.destroy(&id)?, "a created session was not there")?;
            }
            SessionCall::SessionsOf => {
                let found = self.store.sessions_of(user(number / EACH))?;
                ensure(found.len() == EACH, "a user has other sessions than were created")?;
            }
        }
        Ok(true)
    }

    /// Looks at what the calls have left behind.
    pub(crate) fn end(&self) -> Outcome<()> {
        let stored = self.store.read(self.own.id())?.ok_or("the updated session is gone")?;
        ensure(stored.content() == self.own.content(), "an update was lost")?;
        for id in self.created.iter().rev().take(100) {
            ensure(self.store.read(id)?.is_some(), "a created session is gone")?;
        }
        Ok(())
    }
}
