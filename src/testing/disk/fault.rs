//! The kinds of faults, and when each strikes.

use std::io;
use std::panic::resume_unwind;

use crate::testing::disk::State;
use crate::testing::disk::history::Event;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFault {
    /// The disk is full: writes, changes of length and new files fail, perhaps half way.
    Full,
    /// Writes and changes of lengths and names fail, perhaps half way.
    Write,
    /// Syncs fail, and drop the writes that they covered.
    Sync,
    /// Reads fail.
    Read,
    /// Writes and changes of length take effect, and report an error.
    Late,
    /// Syncs panic, and do nothing. (Writes cannot panic: redb holds locks then, which a panic
    /// would break.)
    Panic,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) fault: DiskFault,
    pub(super) from: u64,
    pub(super) lasting: bool,
}

impl State {
    /// Whether an operation of these kinds fails now, and how.
    pub(super) fn strike(&mut self, kinds: &[DiskFault]) -> Option<(DiskFault, io::Error)> {
        let planned = self.fault.filter(|planned| kinds.contains(&planned.fault))?;
        let count = match planned.fault {
            DiskFault::Read => self.reads,
            _ => self.history.len(),
        };
        if count < planned.from {
            return None;
        }
        if !planned.lasting {
            self.fault = None;
        }
        let error = match planned.fault {
            DiskFault::Full => io::ErrorKind::StorageFull.into(),
            DiskFault::Panic => {
                self.history.push(Event::Nothing);
                resume_unwind(Box::new("simulated: a panic"))
            }
            fault => io::Error::other(format!("simulated: {fault:?}")),
        };
        Some((planned.fault, error))
    }

    /// Applies an operation, or fails without applying it. A late fault does both.
    pub(super) fn change(&mut self, event: Event, kinds: &[DiskFault]) -> io::Result<()> {
        let struck = self.strike(kinds);
        match &struck {
            None | Some((DiskFault::Late, _)) => {
                self.seen.apply(&event);
                self.history.push(event);
            }
            Some(_) => self.history.push(Event::Nothing),
        }
        struck.map_or(Ok(()), |(_, error)| Err(error))
    }
}
