//! A model of a store by the rules: one list of sessions, scanned from end to end.

use sessile::{SessionKey, UserLimit};

/// Milliseconds.
pub(crate) type Millis = u64;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Defaults {
    pub(crate) inactivity: Millis,
    pub(crate) absolute: Millis,
    /// A user's maximum number of sessions, and the policy for one more.
    pub(crate) per_user: Option<(usize, UserLimit)>,
}

/// A session, identified by the order in which its id was created.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Modelled {
    pub(crate) id: usize,
    pub(crate) user: Option<u8>,
    pub(crate) content: u32,
    pub(crate) revision: u64,
    pub(crate) created_at: Millis,
    pub(crate) last_active: Millis,
    pub(crate) own: (Option<Millis>, Option<Millis>),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    Gone,
    Conflict,
    Full,
    UserFull,
    InvalidTimeouts,
}

/// The stored sessions. Expired ones stay until they are swept.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) sessions: Vec<Modelled>,
    pub(crate) defaults: Defaults,
    /// The stored timeouts, once a store was open; and whether this store's shorter ones are still
    /// to be stored.
    pub(crate) on_record: Option<(Millis, Millis)>,
    pub(crate) waits: bool,
    pub(crate) max_sessions: usize,
    pub(crate) now: Millis,
    pub(crate) ids: usize,
    /// The keys of the real ids, which break ties between otherwise equal sessions.
    pub(crate) keys: Vec<SessionKey>,
}

impl Model {
    pub(crate) fn deadline(&self, session: &Modelled) -> Millis {
        let inactivity = session.own.0.unwrap_or(self.defaults.inactivity);
        let absolute = session.own.1.unwrap_or(self.defaults.absolute);
        (session.last_active + inactivity).min(session.created_at + absolute)
    }

    /// Opens a store. Sessions that had ended by the stored timeouts are removed before longer ones
    /// count.
    pub(crate) fn open(&mut self, defaults: Defaults) {
        let own = (defaults.inactivity, defaults.absolute);
        let before = self.on_record.unwrap_or(own);
        let longest = (own.0.max(before.0), own.1.max(before.1));
        if longest != before {
            self.defaults = Defaults { inactivity: before.0, absolute: before.1, ..defaults };
            self.remove_expired();
        }
        // Shorter timeouts are adopted when the store is opened.
        self.on_record = Some(own);
        self.waits = false;
        self.defaults = defaults;
    }

    fn is_live(&self, session: &Modelled) -> bool {
        self.now < self.deadline(session)
    }

    pub(crate) fn live(&self) -> Vec<&Modelled> {
        self.sessions.iter().filter(|session| self.is_live(session)).collect()
    }

    pub(crate) fn read(&self, id: usize) -> Option<&Modelled> {
        self.live().into_iter().find(|session| session.id == id)
    }

    fn live_mut(&mut self, id: usize) -> Option<&mut Modelled> {
        self.read(id)?;
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    pub(crate) fn create(
        &mut self,
        user: Option<u8>,
        content: u32,
        own: (Option<Millis>, Option<Millis>),
    ) -> Result<usize, Refused> {
        let inactivity = own.0.unwrap_or(self.defaults.inactivity);
        let absolute = own.1.unwrap_or(self.defaults.absolute);
        if inactivity == 0 || inactivity > absolute {
            return Err(Refused::InvalidTimeouts);
        }
        let ending = self.ending_for(user)?;
        if self.sessions.len() - ending.len() >= self.max_sessions && !self.waits {
            self.remove_expired();
        }
        if self.sessions.len() - ending.len() >= self.max_sessions {
            return Err(Refused::Full);
        }
        self.sessions.retain(|session| !ending.contains(&session.id));
        let (id, now) = (self.ids, self.now);
        self.ids += 1;
        let times = (now, now);
        let (created_at, last_active) = times;
        let revision = 1;
        self.sessions.push(Modelled { id, user, content, revision, created_at, last_active, own });
        Ok(id)
    }

    /// The sessions that must end before the user gets another one, in the order in which they end.
    fn ending_for(&self, user: Option<u8>) -> Result<Vec<usize>, Refused> {
        let (Some((max, policy)), Some(user)) = (self.defaults.per_user, user) else {
            return Ok(vec![]);
        };
        let mut ending = vec![];
        loop {
            let mut left = self.live();
            left.retain(|session| session.user == Some(user) && !ending.contains(&session.id));
            if left.len() < max {
                return Ok(ending);
            }
            if policy == UserLimit::Refuse {
                return Err(Refused::UserFull);
            }
            let key = |session: &&&Modelled| {
                (session.last_active, session.created_at, self.keys[session.id])
            };
            ending.push(left.iter().min_by_key(key).unwrap().id);
        }
    }

    pub(crate) fn extend(&mut self, id: usize) -> bool {
        let now = self.now;
        let Some(session) = self.live_mut(id) else { return false };
        session.last_active = session.last_active.max(now);
        true
    }

    /// Saves a handle's content, if the handle has the stored revision; optionally moves the
    /// session to a new id.
    pub(crate) fn save(
        &mut self,
        handle: &Modelled,
        under_new_id: bool,
    ) -> Result<Modelled, Refused> {
        let (now, new_id, absolute) = (self.now, self.ids, self.defaults.absolute);
        let session = self.live_mut(handle.id).ok_or(Refused::Gone)?;
        if session.revision != handle.revision {
            return Err(Refused::Conflict);
        }
        if now >= session.created_at + handle.own.1.unwrap_or(absolute) {
            return Err(Refused::InvalidTimeouts);
        }
        if session.user != handle.user {
            let ending = self.ending_for(handle.user)?;
            self.sessions.retain(|session| !ending.contains(&session.id));
        }
        let session = self.live_mut(handle.id).ok_or(Refused::Gone)?;
        session.revision += 1;
        session.user = handle.user;
        session.content = handle.content;
        session.own = handle.own;
        session.last_active = session.last_active.max(now);
        if under_new_id {
            session.id = new_id;
        }
        let saved = session.clone();
        self.ids += usize::from(under_new_id);
        Ok(saved)
    }

    /// Gives live sessions other content, changed without their client; returns their content
    /// before.
    pub(crate) fn change(&mut self, which: impl Fn(&Modelled) -> bool, content: u32) -> Vec<u32> {
        let live: Vec<usize> = self.live().into_iter().map(|session| session.id).collect();
        let changed =
            self.sessions.iter_mut().filter(|it| live.contains(&it.id)).filter(|it| which(it));
        changed
            .map(|session| {
                session.revision += 1;
                std::mem::replace(&mut session.content, content)
            })
            .collect()
    }

    /// Gives a user's sessions to another user, and counts the live ones.
    pub(crate) fn rename(&mut self, old: u8, new: u8) -> u64 {
        let live = self.live().into_iter().filter(|session| session.user == Some(old)).count();
        for session in self.sessions.iter_mut().filter(|session| session.user == Some(old)) {
            session.user = Some(new);
            session.revision += 1;
        }
        live as u64
    }

    /// Removes sessions, and counts those that were not expired.
    pub(crate) fn remove(&mut self, which: impl Fn(&Modelled) -> bool) -> u64 {
        let live = self.live().into_iter().filter(|session| which(session)).count();
        self.sessions.retain(|session| !which(session));
        live as u64
    }

    pub(crate) fn destroy_others(&mut self, id: usize) -> Result<u64, Refused> {
        match self.read(id).ok_or(Refused::Gone)?.user {
            None => Ok(0),
            user => Ok(self.remove(|session| session.user == user && session.id != id)),
        }
    }

    pub(crate) fn update_others(&mut self, id: usize, content: u32) -> Result<u64, Refused> {
        match self.read(id).ok_or(Refused::Gone)?.user {
            None => Ok(0),
            user => Ok(self.change(|it| it.user == user && it.id != id, content).len() as u64),
        }
    }

    /// Sweeps, called by the program; its timeouts are stored from then on.
    pub(crate) fn sweep(&mut self) -> u64 {
        self.on_record = Some((self.defaults.inactivity, self.defaults.absolute));
        self.waits = false;
        self.remove_expired()
    }

    fn remove_expired(&mut self) -> u64 {
        let before = self.sessions.len();
        self.sessions = self.live().into_iter().cloned().collect();
        (before - self.sessions.len()) as u64
    }
}
