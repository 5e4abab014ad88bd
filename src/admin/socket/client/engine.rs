//! Sends each call of an engine as a request, and refuses the calls that the protocol lacks.

use std::ops::ControlFlow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::admin::socket::client::RunningStore;
use crate::admin::socket::protocol::{Outcome, Reply};
use crate::admin::socket::request::Request;
use crate::engine::attachment::Attachment;
use crate::engine::check::{Checked, Finding, Inspect, Problem};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{
    Ended, EngineStats, Insert, Listing, Rekey, Replace, Saved, Sweep, Visit, VisitUser,
};
use crate::engine::waker::Waker;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::store::core::meta::{CONTENT_NAME, TIMEOUTS_IN_USE, current_name};
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

impl Engine for RunningStore {
    /// Within the program's own limit on all sessions, and no other.
    fn insert(&self, key: &SessionKey, record: Record, _: Moment, _: Limits) -> Result<Insert> {
        let bytes = self.record_to_send(key, &record)?;
        let answer = self.alone(&Request::Insert { key: key.to_string(), bytes })?;
        match answer.outcome {
            Some(Outcome::Stored) => Ok(Insert::Done(Vec::new())),
            Some(Outcome::Occupied) => Ok(Insert::Occupied),
            _ => Err(self.unexpected(Reply::Done(answer))),
        }
    }

    fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
        let found = self.one_record(&Request::Load { key: key.to_string() })?;
        Ok(found.filter(|record| !record.is_expired(moment)))
    }

    /// By the session's own timeouts alone, as a copy needs it.
    fn extend(&self, key: &SessionKey, moment: Moment, _: Duration) -> Result<Option<Record>> {
        let (key, at) = (key.to_string(), moment.now.as_millis());
        self.one_record(&Request::Extend { key, at })
    }

    /// As a copy needs it: a record that is expired at the moment is replaced too.
    fn replace(
        &self,
        key: &SessionKey,
        expected: u64,
        record: Record,
        _: Moment,
        _: Limits,
    ) -> Result<Replace> {
        let (revision, bytes) = (expected, self.record_to_send(key, &record)?);
        let answer = self.alone(&Request::Replace { key: key.to_string(), revision, bytes })?;
        match (answer.outcome, answer.last_active) {
            (Some(Outcome::Stored), Some(last_active)) => {
                let last_active = Timestamp::from_millis(last_active);
                Ok(Replace::Done(Saved { last_active, ended: Vec::new() }))
            }
            (Some(Outcome::Conflict), _) => Ok(Replace::Conflict),
            (Some(Outcome::Missing), _) => Ok(Replace::Missing),
            _ => Err(self.unexpected(Reply::Done(answer))),
        }
    }

    fn rekey(
        &self,
        _: &SessionKey,
        _: &SessionKey,
        _: u64,
        _: Record,
        _: Moment,
        _: Limits,
    ) -> Result<Rekey> {
        self.only_by_the_program("no session is changed")
    }

    fn remove(
        &self,
        key: &SessionKey,
        owner: Option<&UserKey>,
        _: Moment,
    ) -> Result<Option<Ended>> {
        if owner.is_some() {
            return self.only_by_the_program("no session is ended for its user");
        }
        let (mut ended, _) = self.ended_by(&Request::Remove { key: key.to_string() })?;
        Ok(ended.pop())
    }

    fn remove_user(&self, user: &UserKey, _: Moment) -> Result<Vec<Ended>> {
        let (ended, _) = self.ended_by(&Request::RemoveUser { user: self.user(user)? })?;
        Ok(ended)
    }

    fn remove_others(&self, keep: &SessionKey, _: Moment) -> Result<Option<Vec<Ended>>> {
        let request = Request::RemoveOthers { keep: keep.to_string() };
        let (ended, answer) = self.ended_by(&request)?;
        Ok(answer.ended.is_some().then_some(ended))
    }

    fn rename_user(&self, _: &UserKey, _: &UserKey, _: Moment) -> Result<u64> {
        self.only_by_the_program("no user is renamed")
    }

    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        self.records(&Request::ScanUser { user: self.user(user)? }, visit)
    }

    fn scan(&self, after: Option<&SessionKey>, visit: &mut Visit<'_>) -> Result<()> {
        self.records(&Request::Scan { after: after.map(ToString::to_string) }, visit)
    }

    fn scan_users(
        &self,
        after: Option<&UserKey>,
        _: Moment,
        visit: &mut VisitUser<'_>,
    ) -> Result<()> {
        let after = after.map(|after| self.user(after)).transpose()?;
        let users = &mut |reply| match &reply {
            Reply::User { user, sessions } => match user.to_key() {
                Ok(user) => visit(user, *sessions),
                Err(_) => Err(self.unexpected(reply)),
            },
            _ => Err(self.unexpected(reply)),
        };
        self.ask(&Request::ScanUsers { after }, users).map(drop)
    }

    fn listing(&self) -> Listing {
        Listing::Snapshot
    }

    fn remove_expired(&self, _: Moment, _: usize) -> Result<Sweep> {
        let (removed, answer) = self.ended_by(&Request::Sweep {})?;
        Ok(Sweep { removed, more: answer.more == Some(true), busy: false })
    }

    fn reindex(&self, _: &Timeouts, _: &dyn Fn() -> bool) -> Result<bool> {
        self.only_by_the_program("it is swept by the program's own timeouts alone")
    }

    fn count(&self, _: Moment) -> Result<u64> {
        let answer = self.alone(&Request::Count {})?;
        Ok(answer.count.unwrap_or(0))
    }

    fn check(&self, _: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        let answer = self.ask(&Request::Check {}, &mut |reply| {
            match reply {
                Reply::Problem { key, text } => {
                    let key = key.parse()?;
                    inspect(Finding::Problem(Problem::Reported { key, text }))?;
                }
                reply => {
                    let (key, record) = self.record(reply)?;
                    inspect(Finding::Record(key, record?))?;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let (expiry, users) = (answer.expiry_entries, answer.user_entries);
        Ok(Checked { expiry_entries: expiry.unwrap_or(0), user_entries: users.unwrap_or(0) })
    }

    fn clear(&self) -> Result<()> {
        self.alone(&Request::Clear {}).map(drop)
    }

    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let value = match name {
            TIMEOUTS_IN_USE => self.greeted(|wire| wire.timeouts.clone())?,
            _ => self.alone(&Request::Meta { name: name.into() })?.value,
        };
        let value = value.map(|value| STANDARD.decode(value)).transpose();
        value.map_err(|error| self.failed(std::io::Error::other(error)))
    }

    fn store_meta(&self, _: &str, _: &[u8]) -> Result<()> {
        self.only_by_the_program("nothing is put on record")
    }

    /// Answers with what is on record. Only the program itself puts something there.
    fn init_meta(&self, name: &str, _: &[u8]) -> Result<Vec<u8>> {
        let found = self.load_meta(name)?;
        if name == CONTENT_NAME && found.as_deref().and_then(current_name).is_none() {
            let detail = format!(
                "the program that has the store open gives its content no name, and these sessions \
                 have one: call `{name}` in the program"
            );
            return Err(Error::ContentMismatch { detail, source: None });
        }
        found.map_or_else(|| self.only_by_the_program("nothing is put on record"), Ok)
    }

    /// The program's time: it may have its own clock, or use a server's.
    fn server_time(&self) -> Result<Option<Timestamp>> {
        Ok(self.alone(&Request::Time {})?.now.map(Timestamp::from_millis))
    }

    fn attach(&self, _: Timeouts) -> Result<Attachment> {
        self.only_by_the_program("no store is opened")
    }

    fn flush(&self) -> Result<()> {
        self.alone(&Request::Flush {}).map(drop)
    }

    fn flush_interval(&self) -> Option<Duration> {
        None
    }

    fn late_by(&self) -> Duration {
        Duration::ZERO
    }

    fn set_waker(&self, _: Waker) {}

    fn run_background_work(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) -> Result<()> {
        drop(self.idle.lock().take());
        Ok(())
    }

    fn stats(&self) -> Result<EngineStats> {
        Ok(self.alone(&Request::Stats {})?.engine_stats())
    }
}
