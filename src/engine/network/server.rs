//! A server as an engine uses it: calls with deadlines, on pooled connections, tried again where
//! that is safe.
//!
//! Invariant: every call ends within the time limit. A request that may have been carried out is
//! never sent again unless a second execution cannot act twice; then its outcome is looked up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::attachment::Attachments;
use crate::engine::network::backend::{Attempt, Backend, Connection};
use crate::engine::network::clock::ServerClock;
use crate::engine::network::deadline::{Backoff, Deadline};
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::options::{FORMAT_NAME, check_format, format_text};
use crate::engine::network::pool::{Lease, Pool};
use crate::error::{Error, Result, Source};
use crate::process::Process;

/// How often a request is given to a server that does not answer, or a transaction is tried that
/// others come in the way of.
const MOST_ATTEMPTS: u32 = 5;

/// How the time of a call is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The time for a whole call, other attempts included.
    pub(crate) timeout: Duration,
    /// The most connections that are open at once.
    pub(crate) connections: usize,
}

impl Limits {
    pub(crate) const DEFAULT: Self = Self { timeout: Duration::from_secs(5), connections: 16 };

    /// The time for one answer: a lost one leaves time to look up what became of the request.
    fn answer(&self) -> Duration {
        self.timeout.mul_f32(0.4)
    }

    /// How long a statement may wait for what others hold: less than anybody waits for its answer,
    /// so that it does not change something once nobody waits any more.
    pub(crate) fn lock(&self) -> Duration {
        self.timeout.mul_f32(0.3)
    }

    /// The time to connect, and to wait for a connection that others use.
    fn connect(&self) -> Duration {
        self.timeout.mul_f32(0.2)
    }
}

/// What a request does when the server carries it out a second time, or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing: it only reads.
    Reads,
    /// Nothing more than the first time, whenever that is.
    Idempotent,
    /// Nothing more, and the attempt itself looks up what became of the first one.
    LookedUp,
    /// It would act on what came after.
    Never,
}

/// A kind of server with its connections and its clock.
#[derive(Debug)]
pub(crate) struct Server<B: Backend> {
    pub(crate) backend: B,
    pub(crate) clock: ServerClock,
    pub(crate) attachments: Attachments,
    pub(crate) changes: AtomicU64,
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

impl<B: Backend> Server<B> {
    pub(crate) fn new(backend: B, limits: Limits) -> Self {
        Self {
            backend,
            clock: ServerClock::new(),
            attachments: Attachments::new(),
            changes: AtomicU64::new(0),
            pool: Pool::new(limits.connections),
            limits,
            process: Process::this(),
            closed: AtomicBool::new(false),
        }
    }

    /// Sees that the server is there, compares the clocks, and sees what it holds.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedFormat`] for what a newer version keeps; whatever the server fails with.
    pub(crate) fn open(self) -> Result<Self> {
        self.compare_clocks(true)?;
        let format = format_text();
        let found = self.write(Repeat::Idempotent, |backend, on, _| {
            backend.init_meta(on, FORMAT_NAME, format.as_bytes())
        })?;
        check_format(self.backend.server(), &found)?;
        Ok(self)
    }

    /// Refuses calls after closing, and in a process that shares the connections of another.
    pub(crate) fn ensure_open(&self) -> Result<()> {
        self.process.ensure_same()?;
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    /// Lets go of every idle connection, and of the others once they are given back.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pool.renew();
    }

    /// A call that changes nothing.
    pub(crate) fn read<T>(
        &self,
        mut attempt: impl FnMut(&B, &mut B::Connection) -> Attempt<T>,
    ) -> Result<T> {
        self.call(Repeat::Reads, |backend, on, _| attempt(backend, on))
    }

    /// A call that changes something. The attempt is told whether one before it may have done so.
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
        // What is known of an attempt that may have been carried out.
        let mut lost = None;
        let mut quick_attempts = 0;
        loop {
            let (failure, was_kept) = match self.attempt(deadline, lost.is_some(), &mut attempt) {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            let (reason, again) = match failure {
                Failure::Answered(error) => return Err(answered(error, lost)),
                // A kept connection may have ended long ago, which says nothing of the server.
                Failure::NotDone(reason) if was_kept => (reason, true),
                Failure::NotDone(reason) => {
                    let again = lost.is_some() && backoff.wait(deadline);
                    (reason, again)
                }
                Failure::NotNow(reason) => (reason, backoff.wait(deadline)),
                Failure::RolledBack(reason) => {
                    quick_attempts += 1;
                    // One that waits for others until nobody waits for it would be in doubt.
                    let whole = self.limits.answer();
                    let fits = deadline.remaining().is_some_and(|left| left >= whole);
                    (reason, fits && backoff.step_aside(deadline))
                }
                Failure::Lost(reason) => {
                    quick_attempts += 1;
                    if repeat != Repeat::Reads {
                        lost.get_or_insert_with(|| reason.clone());
                    }
                    (reason, repeat != Repeat::Never)
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

    /// One attempt. A failure is told with whether it was on a connection from an earlier call.
    fn attempt<T>(
        &self,
        deadline: Deadline,
        in_doubt: bool,
        attempt: &mut impl FnMut(&B, &mut B::Connection, bool) -> Attempt<T>,
    ) -> std::result::Result<T, (Failure, bool)> {
        let (lease, mut on, was_kept) = self.lease(deadline).map_err(|failure| (failure, false))?;
        on.set_deadline(deadline.within(self.limits.answer()));
        match attempt(&self.backend, &mut on, in_doubt) {
            Ok(done) => {
                self.keep(lease, on);
                Ok(done)
            }
            Err(failure) => {
                match failure {
                    Failure::Answered(_) | Failure::RolledBack(_) => self.keep(lease, on),
                    // The others may have ended with this one, and are as old.
                    Failure::NotDone(_) | Failure::Lost(_) | Failure::NotNow(_) => {
                        self.pool.renew();
                    }
                }
                Err((failure, was_kept))
            }
        }
    }

    /// A connection that is held for several requests, none of which changes anything. The first of
    /// them is made here, on another connection where the first one had ended unnoticed.
    pub(crate) fn hold(
        &self,
        first: impl Fn(&B, &mut B::Connection) -> Attempt<()>,
    ) -> Result<Held<'_, B>> {
        self.ensure_open()?;
        let deadline = Deadline::after(self.limits.timeout);
        loop {
            let (failure, was_kept) = match self.lease(deadline) {
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
            if !was_kept || matches!(failure, Failure::Answered(_)) {
                return Err(self.failed(failure));
            }
        }
    }

    /// What a failure is to the caller of something that changes nothing.
    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Answered(error) => error,
            Failure::NotDone(reason)
            | Failure::Lost(reason)
            | Failure::NotNow(reason)
            | Failure::RolledBack(reason) => self.unavailable(reason),
        }
    }

    /// The right to a connection, one, and whether it was kept from an earlier call.
    #[allow(clippy::type_complexity, reason = "it is taken apart at once")]
    fn lease(
        &self,
        deadline: Deadline,
    ) -> Attempt<(Lease<'_, B::Connection>, B::Connection, bool)> {
        let waiting = deadline.within(self.limits.connect());
        let Some(mut lease) = self.pool.lease(waiting) else {
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

    pub(crate) fn unavailable(&self, source: Source) -> Error {
        Error::Unavailable { server: self.backend.server().into(), source }
    }

    /// Compares the clocks, unless they were compared not long ago.
    pub(crate) fn compare_clocks(&self, anyway: bool) -> Result<()> {
        const COMPARISONS: usize = 3;
        if !anyway && !self.clock.is_due() {
            return Ok(());
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
    /// One request. After one that fails the connection is of no more use.
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

    /// Gives back a connection that is as good as before.
    pub(crate) fn give_back(self) {
        self.server.keep(self.lease, self.connection);
    }
}

/// An error of the server, which leaves an earlier attempt in doubt.
fn answered(error: Error, lost: Option<Source>) -> Error {
    match (error, lost) {
        (error @ Error::DamagedRecord { .. }, _) | (error, None) => error,
        (_, Some(source)) => Error::OutcomeUnknown { source },
    }
}

/// What became of a removal whose answer was lost: the session is gone, by whom is not known.
pub(crate) fn gone_by_whom() -> Error {
    Error::OutcomeUnknown {
        source: source("the session is gone; whether by this call is not known"),
    }
}
