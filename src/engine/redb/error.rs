//! Converts redb's errors to this crate's: what happened, and to which file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::DatabaseError;

use crate::error::{Error, Source};

/// The result of an operation on the tables; an error means that the whole transaction failed.
pub(in crate::engine::redb) type RedbResult<T> = Result<T, redb::Error>;

/// Returned by redb's open if the file system has no locks.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the file system does not support locks")]
pub(in crate::engine::redb) struct LocksUnsupported;

/// Somebody else has written to the open file, for instance by copying a backup over it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("somebody else has written to the open file")]
pub(in crate::engine::redb) struct Overwritten;

/// Converts an error of an open database, before anything was committed.
pub(in crate::engine::redb) fn from_redb(
    action: &'static str,
    path: &Path,
    error: redb::Error,
) -> Error {
    let path = PathBuf::from(path);
    match error {
        redb::Error::Io(error) if is_overwritten(&error) => Error::FileReplaced { path },
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Error::DamagedFile { path, source: Arc::new(error) }
        }
        redb::Error::Io(error) => Error::io(action, path, error),
        redb::Error::Corrupted(_) => Error::DamagedFile { path, source: Arc::new(error) },
        error => Error::Io { action, path, source: Arc::new(error) },
    }
}

fn is_overwritten(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Overwritten>())
}

/// Converts an error of opening a file that has redb's signature and ours.
pub(in crate::engine::redb) fn from_open(path: &Path, error: DatabaseError) -> Error {
    let path = PathBuf::from(path);
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            Error::AlreadyOpen { path }
        }
        DatabaseError::Storage(redb::StorageError::Backend(cause))
            if cause.is::<LocksUnsupported>() =>
        {
            Error::LocksUnsupported { path }
        }
        DatabaseError::Storage(redb::StorageError::Io(cause)) => match cause.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Error::DamagedFile { path, source: Arc::new(cause) }
            }
            _ => Error::io("open", path, cause),
        },
        DatabaseError::RepairAborted => Error::RecoveryAborted { path },
        DatabaseError::Storage(redb::StorageError::Corrupted(_))
        | DatabaseError::UpgradeRequired(_) => Error::DamagedFile { path, source: Arc::new(error) },
        error => Error::Io { action: "open", path, source: Arc::new(error) },
    }
}

/// Whether redb refused a call because of another call's earlier error. By now that call, or
/// another, may have closed the handle and reopened the file.
pub(in crate::engine::redb) fn is_of_an_earlier_one(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(source.downcast_ref(), Some(redb::Error::PreviousIo | redb::Error::DatabaseClosed))
}

/// The error after redb panicked while opening a file that has redb's signature and ours.
pub(in crate::engine::redb) fn panicked(path: &Path) -> Error {
    let cause = io::Error::other("the database library panicked on it");
    Error::DamagedFile { path: path.into(), source: Arc::new(cause) }
}

/// The error of a failed commit: its changes may or may not be on the disk.
pub(in crate::engine::redb) fn outcome_unknown(error: &Error) -> Error {
    Error::OutcomeUnknown { source: Arc::new(error.clone()) as Source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ends_too_early_or_has_other_data_is_damaged_and_another_error_is_not() {
        let of = |kind: io::ErrorKind| {
            let cause = redb::StorageError::Io(kind.into());
            from_open(Path::new("sessions.redb"), DatabaseError::Storage(cause))
        };
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData] {
            assert!(matches!(of(kind), Error::DamagedFile { .. }), "{kind}");
        }
        assert!(matches!(of(io::ErrorKind::StorageFull), Error::StorageFull { .. }));
        assert!(matches!(of(io::ErrorKind::Other), Error::Io { .. }));
    }
}
