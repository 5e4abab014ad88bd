//! The progress of a salvage, as reported to its caller.
//!
//! Invariant: a panic of the caller's closure is never taken for damage of the file. Such a panic
//! is resumed after everything begun has been undone.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result};

/// The steps of a salvage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SalvageStep {
    /// Copies the damaged file, so that the copy can be repaired; in bytes.
    Copying,
    /// Copies the sessions that a sound tree leads to; in sessions.
    Sessions,
    /// Searches every page for sessions that no sound tree leads to; in bytes. Runs twice with
    /// [`include_stale`](crate::Salvage::include_stale).
    Pages,
}

/// The progress of a salvage in one of its steps.
///
/// # Examples
///
/// See [`Salvage::run_with`](crate::Salvage::run_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageProgress {
    /// The step, which determines the unit of the two numbers.
    pub step: SalvageStep,
    /// The completed part of the step.
    pub done: u64,
    /// The size of the whole step, if known.
    pub total: Option<u64>,
}

/// A callback that a salvage calls repeatedly; `Break` cancels the salvage.
pub(super) type OnProgress<'a> = dyn FnMut(SalvageProgress) -> ControlFlow<()> + 'a;

/// Reports to the caller, and remembers a panic of the caller's closure.
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

    /// Resumes the caller's panic, if there was one.
    pub(super) fn end(self) {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
    }
}
