//! How far a salvage has come, as its caller is told.
//!
//! Invariant: what the caller's closure does is never taken for what the damaged file did. A panic in
//! it goes on once everything that was begun is given up.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result};

/// What a salvage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SalvageStep {
    /// Copying the damaged file, so that the copy can be repaired; in bytes.
    Copying,
    /// Taking over the sessions that a sound tree leads to; in sessions.
    Sessions,
    /// Looking through every page for sessions that no sound tree leads to; in bytes. Twice with
    /// [`include_stale`](crate::Salvage::include_stale).
    Pages,
}

/// How far a salvage has come in one of its steps.
///
/// # Examples
///
/// See [`Salvage::run_with`](crate::Salvage::run_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageProgress {
    /// The step. Its unit is that of the two numbers.
    pub step: SalvageStep,
    /// What is done of it.
    pub done: u64,
    /// What there is to do, if that is known.
    pub total: Option<u64>,
}

/// What a salvage calls now and then; `Break` calls it off.
pub(super) type OnProgress<'a> = dyn FnMut(SalvageProgress) -> ControlFlow<()> + 'a;

/// Tells a caller, and remembers a panic of theirs.
pub(super) struct Teller<'a> {
    tell: &'a mut OnProgress<'a>,
    panic: Option<Box<dyn Any + Send>>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(tell: &'a mut OnProgress<'a>) -> Self {
        Self { tell, panic: None }
    }

    pub(super) fn tell(&mut self, step: SalvageStep, done: u64, total: Option<u64>) -> Result<()> {
        let progress = SalvageProgress { step, done, total };
        match catch_unwind(AssertUnwindSafe(|| (self.tell)(progress))) {
            Ok(ControlFlow::Continue(())) => return Ok(()),
            Ok(ControlFlow::Break(())) => {}
            Err(panic) => self.panic = Some(panic),
        }
        Err(Error::CalledOff { action: "salvage" })
    }

    /// Goes on with the caller's panic, if there was one.
    pub(super) fn end(self) {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
    }
}
