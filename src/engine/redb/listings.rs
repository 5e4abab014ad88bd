//! Listings of sessions and of users, which continue when another call's error ends redb's handle.
//!
//! Invariant: a listing shows one moment. It continues in the reopened file only if readers have
//! been shown no change since it began; otherwise it returns the error.
//!
//! An example. The disk is full. A listing is at its thousandth session, and a background
//! checkpoint finds no room, so redb's handle refuses every call. The log is unchanged, so the
//! reopened file shows the same sessions, and the listing continues with its next key.

use std::collections::VecDeque;

use crate::engine::check::{Checked, Finding, Inspect};
use crate::engine::outcome::{Visit, VisitUser};
use crate::engine::redb::database::check;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::listing::Listing;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The number of handles through which one listing is tried.
const HANDLES: u32 = 4;

/// Why a listing stopped.
enum Stop {
    /// redb could not read its snapshot.
    Unread(redb::Error),
    /// Any other error, such as the visitor's.
    Failed(Error),
}

impl From<redb::Error> for Stop {
    fn from(error: redb::Error) -> Self {
        Self::Unread(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl RedbEngine {
    pub(in crate::engine::redb) fn records_of(
        &self,
        user: &UserKey,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        self.reopen_to_read()?;
        let listing = self.reading(|| self.view.listing_of(user))?;
        let mut keys: Option<VecDeque<SessionKey>> = None;
        self.list(listing, |listing| {
            let keys = match &mut keys {
                Some(keys) => keys,
                None => keys.insert(listing.keys_of(user)?.into()),
            };
            while let Some(key) = keys.front().copied() {
                let record = listing.get(&key)?;
                keys.pop_front();
                // A stray entry of the index may name another user's session.
                let is_stray = matches!(&record, Some(Ok(record)) if !record.is_of(user));
                if let Some(record) = record.filter(|_| !is_stray)
                    && visit(key, self.latest(listing, &key, record))?.is_break()
                {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(in crate::engine::redb) fn records_after(
        &self,
        after: Option<&SessionKey>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let mut last = after.copied();
        self.list(self.as_of_now()?, |listing| {
            let after = last;
            for entry in listing.records_after(after.as_ref())? {
                let (key, record) = entry?;
                last = Some(key);
                if visit(key, self.latest(listing, &key, record))?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(in crate::engine::redb) fn users_after(
        &self,
        after: Option<&UserKey>,
        moment: Moment,
        visit: &mut VisitUser<'_>,
    ) -> Result<()> {
        let mut last = after.cloned();
        self.list(self.as_of_now()?, |listing| {
            let after = last.clone();
            let mut entries = listing.users_after(after.as_ref())?.peekable();
            while let Some(entry) = entries.next() {
                let (user, mut key) = entry?;
                let mut live = 0;
                loop {
                    live += u64::from(self.is_live(listing, &key, Some(&user), moment)?);
                    let same = |next: &RedbResult<(UserKey, _)>| match next {
                        Ok((next, _)) => *next == user,
                        // An unreadable entry ends the listing: otherwise this user's count might
                        // be too low.
                        Err(_) => true,
                    };
                    match entries.next_if(same) {
                        Some(entry) => key = entry?.1,
                        None => break,
                    }
                }
                last = Some(user.clone());
                if live > 0 && visit(user, live)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(in crate::engine::redb) fn live_records(&self, moment: Moment) -> Result<u64> {
        let mut live = 0;
        self.list(self.as_of_now()?, |listing| {
            let mut expired = 0;
            for key in listing.passed(moment.now)? {
                let key = key?;
                // A damaged record counts as expired; the next sweep removes it.
                let stored = listing.get(&key)?.is_some();
                expired += u64::from(stored && !self.is_live(listing, &key, None, moment)?);
            }
            live = listing.stored().saturating_sub(expired);
            Ok(())
        })?;
        Ok(live)
    }

    /// Compares the records with the indexes, in the tables and in the changes since.
    pub(in crate::engine::redb) fn findings(
        &self,
        timeouts: &Timeouts,
        inspect: &mut Inspect<'_>,
    ) -> Result<Checked> {
        let listing = self.as_of_now()?;
        let mut latest = |finding| match finding {
            Finding::Record(key, record) => {
                let record = self.latest(&listing, &key, Ok(record))?;
                inspect(Finding::Record(key, record))
            }
            problem => inspect(problem),
        };
        let failed = |error| self.view.failed_to_read(error);
        let records = listing.records_after(None).map_err(failed)?;
        let (snapshot, changes) = (listing.snapshot(), listing.changes());
        check::check(snapshot, changes, records, timeouts, &mut latest, &failed)
    }

    /// Runs `pass` over a listing. If another call lost the handle, runs `pass` again over the same
    /// moment in the reopened file; `pass` continues after the sessions it has visited.
    fn list(
        &self,
        mut listing: Listing,
        mut pass: impl FnMut(&Listing) -> Result<(), Stop>,
    ) -> Result<()> {
        for handle in 1.. {
            let error = match pass(&listing) {
                // What was counted or left out came from these pages, too.
                Ok(()) => return self.view.file.ensure_pages_as_left(),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Unread(error)) => self.view.failed_to_read(error),
            };
            if handle == HANDLES || !error::is_of_an_earlier_one(&error) {
                return Err(error);
            }
            match self.reopen_if_lost().and_then(|()| self.as_of_now()) {
                Ok(reopened) if reopened.is_of_one_moment_with(&listing) => listing = reopened,
                Err(refused) if self.view.file.sync_failed() => return Err(refused),
                _ => return Err(error),
            }
        }
        Ok(())
    }

    /// A record of a listing, with its session's latest touch. None comes from pages that another
    /// program wrote.
    fn latest(
        &self,
        listing: &Listing,
        key: &SessionKey,
        record: Result<Record>,
    ) -> Result<Record> {
        self.view.file.ensure_pages_as_left()?;
        let mut record = record?;
        let timeouts = || self.attachments.timeouts();
        self.reading(|| self.view.touch_latest(listing.commit(), key, &mut record, timeouts))?;
        Ok(record)
    }

    /// Whether a listing's key has a live session, of this user if one is given. A damaged record
    /// does not count as live.
    fn is_live(
        &self,
        listing: &Listing,
        key: &SessionKey,
        user: Option<&UserKey>,
        moment: Moment,
    ) -> Result<bool, Stop> {
        Ok(match listing.get(key)? {
            Some(Ok(record)) if user.is_some_and(|user| !record.is_of(user)) => false,
            Some(Ok(record)) => !self.latest(listing, key, Ok(record))?.is_expired(moment),
            Some(Err(_)) | None => false,
        })
    }
}
