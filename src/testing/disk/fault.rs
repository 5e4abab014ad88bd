//! What fails, and when it strikes.

use std::io;
use std::panic::resume_unwind;

use crate::testing::disk::State;
use crate::testing::disk::history::Event;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFault {
    /// There is no room: writes, changes of length and new files fail, perhaps half way.
    Full,
    /// Writes and changes of lengths and names fail, perhaps half way.
    Write,
    /// Syncs fail, and drop what they covered.
    Sync,
    /// Reads fail.
    Read,
    /// Writes and changes of length are carried out, and fail all the same.
    Late,
    /// Syncs panic, and do nothing. (A write cannot: redb holds locks meanwhile that no panic may
    /// meet.)
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

    /// Carries out an operation, or lets it fail and do nothing; or both, if it is late.
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
