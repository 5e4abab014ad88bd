//! Tools for operators, whatever content a store holds: inspect it, end sessions, check it, and
//! copy it.
//!
//! Everything here works on an [`Engine`](crate::Engine) and on records, so it needs no content
//! type. The package `sessile-cli` is a command line for it.

pub(crate) mod archive;
mod arrival;
pub(crate) mod backup;
pub(crate) mod copying;
pub(crate) mod entry;
pub(crate) mod inspector;
pub(crate) mod overview;
#[cfg(feature = "admin")]
#[cfg_attr(docsrs, doc(cfg(feature = "admin")))]
pub(crate) mod socket;
pub(crate) mod transfer;

pub use archive::{ExportReport, ImportOptions, ImportReport, VerifiedArchive, verify_archive};
pub use backup::{BackupReport, restore};
pub use copying::{Keys, LeaveOut, OnProgress, Progress};
pub use entry::StoredSession;
pub use inspector::{Inspector, VisitSession, VisitUserId};
pub use overview::{Histogram, Overview};
#[cfg(feature = "admin")]
pub use socket::{AdminSocket, RunningStore};
pub use transfer::{TransferReport, transfer};
