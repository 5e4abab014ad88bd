//! A server as an engine uses it: calls with deadlines, on pooled connections, retried if that is
//! safe.
//!
//! Invariant: every call ends within the time limit. A request that may have been carried out is
//! repeated only if a second execution changes nothing more; otherwise its outcome is looked up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::attachment::Attachments;
use crate::engine::network::backend::{Attempt, Backend, Connection};
use crate::engine::network::clock::ServerClock;
use crate::engine::network::deadline::{Backoff, Deadline};
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::options::{FORMAT_NAME, Limits, check_format, format_text};
use crate::engine::network::pool::{Lease, Pool, Term};
use crate::engine::network::stored::recent::Recent;
use crate::error::{Error, Result, Source};
use crate::process::Process;

/// The most times that a call sends a request that gets no answer.
const MOST_ATTEMPTS: u32 = 5;

/// The effect of a request that the server carries out a second time, or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// None: the request only reads.
    Reads,
    /// None beyond the first execution, at any time.
    Idempotent,
    /// None beyond the first execution; the attempt itself looks up the outcome of the first one.
    LookedUp,
    /// A second execution would change what came after the first.
    Never,
}

/// A kind of server with its connections and its clock.
#[derive(Debug)]
pub(crate) struct Server<B: Backend> {
    pub(crate) backend: B,
    pub(crate) clock: ServerClock,
    pub(crate) attachments: Attachments,
    pub(crate) changes: AtomicU64,
    pub(super) recent: Recent,
    pool: Pool<B::Connection>,
    limits: Limits,
    process: Process,
    closed: AtomicBool,
}

/// A connection that is held for more than one request.
pub(crate) struct Held<'a, B: Backend> {
    pub(crate) server: &'a Server<B>,
    pub(crate) connection: B::Connection,
    lease: Lease<'a, B::Connection>,
}

/// An attempt that failed.
struct Failed {
    failure: Failure,
    /// Whether the connection was from an earlier call.
    was_kept: bool,
    /// Whether the time for the answer was over.
    is_late: bool,
}

impl<B: Backend> Server<B> {
    pub(crate) fn new(backend: B, limits: Limits) -> Self {
        Self {
            backend,
            clock: ServerClock::new(),
            attachments: Attachments::new(),
            changes: AtomicU64::new(0),
            recent: Recent::new(),
            pool: Pool::new(limits.connections),
            limits,
            process: Process::this(),
            closed: AtomicBool::new(false),
        }
    }

    /// Connects to the server, compares the clocks, and checks the format of the stored data.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedFormat`] for data of a newer version; otherwise the server's failure.
    pub(crate) fn open(self) -> Result<Self> {
        self.compare_clocks(true)?;
        let format = format_text();
        let found = self.write(Repeat::Idempotent, |backend, on, _| {
            backend.init_meta(on, FORMAT_NAME, format.as_bytes())
        })?;
        check_format(self.backend.server(), &found)?;
        Ok(self)
    }

    /// As [`open`](Self::open), but only if a store is there, and without a change; `None` if there
    /// is none. `load_format` loads the format of the stored data.
    pub(crate) fn open_existing(
        self,
        load_format: impl FnMut(&B, &mut B::Connection) -> Attempt<Option<Vec<u8>>>,
    ) -> Result<Option<Self>> {
        let Some(found) = self.read(load_format)? else { return Ok(None) };
        check_format(self.backend.server(), &found)?;
        self.compare_clocks(true)?;
        Ok(Some(self))
    }

    /// Refuses calls after closing, and calls in a forked child, which shares its parent's
    /// connections.
    pub(crate) fn ensure_open(&self) -> Result<()> {
        self.process.ensure_same()?;
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    /// Closes every idle connection now, and the others when they are returned.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pool.renew();
    }

    /// Makes a call that changes nothing.
    pub(crate) fn read<T>(
        &self,
        mut attempt: impl FnMut(&B, &mut B::Connection) -> Attempt<T>,
    ) -> Result<T> {
        self.call(Repeat::Reads, |backend, on, _| attempt(backend, on))
    }

    /// Makes a change. The attempt is told whether an earlier attempt may have made it.
    pub(crate) fn write<T>(
        &self,
        repeat: Repeat,
        attempt: impl FnMut(&B, &mut B::Connection, bool) -> Attempt<T>,
    ) -> Result<T> {
        let done = self.call(repeat, attempt)?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(done)
    }

    fn call<T>(
        &self,
        repeat: Repeat,
        mut attempt: impl FnMut(&B, &mut B::Connection, bool) -> Attempt<T>,
    ) -> Result<T> {
        self.ensure_open()?;
        let deadline = Deadline::after(self.limits.timeout);
        let mut backoff = Backoff::new();
        // The failure of an earlier attempt that may have been carried out.
        let mut lost = None;
        let mut quick_attempts = 0;
        loop {
            let Failed { failure, was_kept, is_late } =
                match self.attempt(deadline, lost.is_some(), &mut attempt) {
                    Ok(done) => return Ok(done),
                    Err(failed) => failed,
                };
            let (reason, again) = match failure {
                Failure::Answered(error) => return Err(answered(error, lost)),
                // A kept connection may have ended long ago, which says nothing about the server.
                Failure::NotDone(reason) if was_kept => (reason, true),
                Failure::NotDone(reason) => {
                    let again = lost.is_some() && backoff.wait(deadline);
                    (reason, again)
                }
                Failure::NotNow(reason) => (reason, backoff.wait(deadline)),
                Failure::RolledBack(reason) => {
                    // Without time for a whole answer, the retry could lose its answer while it
                    // waits for locks.
                    let whole = self.limits.answer();
                    let fits = deadline.remaining().is_some_and(|left| left >= whole);
                    (reason, fits && backoff.step_aside(deadline))
                }
                Failure::Lost(reason) => {
                    quick_attempts += 1;
                    if repeat != Repeat::Reads {
                        lost.get_or_insert_with(|| reason.clone());
                    }
                    // A server that is slow with a read would be as slow with the next one. But the
                    // other end of a kept connection may be gone.
                    let is_slow = repeat == Repeat::Reads && !was_kept && is_late;
                    (reason, repeat != Repeat::Never && !is_slow)
                }
            };
            let in_time = deadline.remaining().is_some() && quick_attempts < MOST_ATTEMPTS;
            if !(again && in_time) {
                return Err(match lost {
                    Some(source) => Error::OutcomeUnknown { source },
                    None => self.unavailable(reason),
                });
            }
        }
    }

    /// Makes one attempt.
    fn attempt<T>(
        &self,
        deadline: Deadline,
        in_doubt: bool,
        attempt: &mut impl FnMut(&B, &mut B::Connection, bool) -> Attempt<T>,
    ) -> std::result::Result<T, Failed> {
        let not_leased = |failure| Failed { failure, was_kept: false, is_late: false };
        let (lease, mut on, was_kept) = self.lease(Term::Call, deadline).map_err(not_leased)?;
        let answer = deadline.within(self.limits.answer());
        on.set_deadline(answer);
        match attempt(&self.backend, &mut on, in_doubt) {
            Ok(done) => {
                self.keep(lease, on);
                Ok(done)
            }
            Err(failure) => {
                match failure {
                    // A change that too few replicas have may be one of a former primary.
                    Failure::Answered(Error::OutcomeUnknown { .. }) => self.pool.renew(),
                    Failure::Answered(_) | Failure::RolledBack(_) => self.keep(lease, on),
                    // The other connections are as old, and may have ended with this one.
                    Failure::NotDone(_) | Failure::Lost(_) | Failure::NotNow(_) => {
                        self.pool.renew();
                    }
                }
                Err(Failed { failure, was_kept, is_late: answer.remaining().is_none() })
            }
        }
    }

    /// Holds a connection for several requests that change nothing, and makes the first of them. If
    /// a kept connection had ended unnoticed, or no server is ready, the first request is made
    /// again on another one.
    pub(crate) fn hold(
        &self,
        first: impl Fn(&B, &mut B::Connection) -> Attempt<()>,
    ) -> Result<Held<'_, B>> {
        self.ensure_open()?;
        let deadline = Deadline::after(self.limits.timeout);
        let mut backoff = Backoff::new();
        loop {
            let (failure, was_kept) = match self.lease(Term::Listing, deadline) {
                Err(failure) => (failure, false),
                Ok((lease, mut connection, was_kept)) => {
                    connection.set_deadline(deadline.within(self.limits.answer()));
                    match first(&self.backend, &mut connection) {
                        Ok(()) => return Ok(Held { server: self, connection, lease }),
                        Err(failure) => (failure, was_kept),
                    }
                }
            };
            self.pool.renew();
            let again = match failure {
                Failure::Answered(_) => false,
                Failure::NotNow(_) => backoff.wait(deadline),
                Failure::NotDone(_) | Failure::Lost(_) | Failure::RolledBack(_) => was_kept,
            };
            if !again {
                return Err(self.failed(failure));
            }
        }
    }

    /// The caller's error for the failure of a request that changes nothing.
    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Answered(error) => error,
            Failure::NotDone(reason)
            | Failure::Lost(reason)
            | Failure::NotNow(reason)
            | Failure::RolledBack(reason) => self.unavailable(reason),
        }
    }

    /// Returns a lease, a connection, and whether the connection was kept from an earlier call.
    #[allow(clippy::type_complexity, reason = "it is taken apart at once")]
    fn lease(
        &self,
        term: Term,
        deadline: Deadline,
    ) -> Attempt<(Lease<'_, B::Connection>, B::Connection, bool)> {
        let waiting = deadline.within(self.limits.connect());
        let Some(mut lease) = self.pool.lease(term, waiting) else {
            let all = self.limits.connections;
            return Err(Failure::not_done(format!(
                "all {all} connections are in use; raise `connections` in the URL"
            )));
        };
        match lease.kept.take() {
            Some(connection) => Ok((lease, connection, true)),
            None => {
                let deadline = deadline.within(self.limits.connect());
                let connection = self.backend.connect(deadline).map_err(Failure::harmless)?;
                Ok((lease, connection, false))
            }
        }
    }

    fn keep(&self, lease: Lease<'_, B::Connection>, on: B::Connection) {
        if !self.closed.load(Ordering::Acquire) {
            lease.keep(on);
        }
    }

    /// Closes the connections that nobody has used for long.
    pub(crate) fn close_idle(&self) {
        self.pool.close_idle();
    }

    pub(crate) fn unavailable(&self, source: Source) -> Error {
        Error::Unavailable { server: self.backend.server().into(), source }
    }

    /// Compares the clocks, unless a recent comparison exists and `anyway` is not set. Before that,
    /// it leaves a server that is not the primary any more, and whose clock decides nothing.
    pub(crate) fn compare_clocks(&self, anyway: bool) -> Result<()> {
        const COMPARISONS: usize = 3;
        if !anyway && !self.clock.is_due() {
            return Ok(());
        }
        if self.backend.is_superseded(Deadline::after(self.limits.connect())) {
            self.pool.renew();
        }
        let comparisons = self.read(|backend, on| {
            (0..COMPARISONS)
                .map(|_| self.clock.compare(|| backend.server_time(on)))
                .collect::<Attempt<Vec<_>>>()
        })?;
        self.clock.adopt(&comparisons);
        Ok(())
    }
}

impl<'a, B: Backend> Held<'a, B> {
    /// Makes one request. After a failure the connection is unusable.
    pub(crate) fn ask<T>(
        &mut self,
        attempt: impl FnOnce(&B, &mut B::Connection) -> Attempt<T>,
    ) -> Result<T> {
        self.server.ensure_open()?;
        let deadline = Deadline::after(self.server.limits.answer());
        self.connection.set_deadline(deadline);
        attempt(&self.server.backend, &mut self.connection)
            .map_err(|failure| self.server.failed(failure))
    }

    /// Returns a connection that is still usable to the pool.
    pub(crate) fn give_back(self) {
        self.server.keep(self.lease, self.connection);
    }
}

/// The error for a server's error; after a lost attempt the outcome is unknown.
fn answered(error: Error, lost: Option<Source>) -> Error {
    match (error, lost) {
        (error @ Error::DamagedRecord { .. }, _) | (error, None) => error,
        (_, Some(source)) => Error::OutcomeUnknown { source },
    }
}

/// The error for a lost save that another one may have followed.
pub(crate) fn saved_over() -> Error {
    Error::OutcomeUnknown {
        source: source("another call saved the session; whether after this one is not known"),
    }
}

/// The error for a lost removal: the session is gone, but which call removed it is unknown.
pub(crate) fn gone_by_whom() -> Error {
    Error::OutcomeUnknown {
        source: source("the session is gone; whether by this call is not known"),
    }
}
