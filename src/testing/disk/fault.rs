//! What fails, and when it strikes.

use std::io;

use super::State;
use super::history::Event;

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
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) fault: DiskFault,
    pub(super) from: u64,
    pub(super) lasting: bool,
}

impl State {
    /// Whether an operation of these kinds fails now.
    pub(super) fn strike(&mut self, kinds: &[DiskFault]) -> Option<io::Error> {
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
        Some(match planned.fault {
            DiskFault::Full => io::ErrorKind::StorageFull.into(),
            fault => io::Error::other(format!("simulated: {fault:?}")),
        })
    }

    /// Carries out an operation, or lets it fail and do nothing.
    pub(super) fn change(&mut self, event: Event, kinds: &[DiskFault]) -> io::Result<()> {
        match self.strike(kinds) {
            None => {
                self.seen.apply(&event);
                self.history.push(event);
                Ok(())
            }
            Some(error) => {
                self.history.push(Event::Nothing);
                Err(error)
            }
        }
    }
}
