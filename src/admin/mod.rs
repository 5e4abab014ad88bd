//! What an operator does with a store, whatever content it holds: look into it, end sessions, check
//! it, and take copies of it.
//!
//! Everything here works on an [`Engine`](crate::Engine) and on records, so it needs no content
//! type. The package `sessile-cli` is a command line over it.

pub(crate) mod archive;
pub(crate) mod backup;
pub(crate) mod copying;
pub(crate) mod entry;
pub(crate) mod inspector;
pub(crate) mod overview;
#[cfg(all(feature = "admin", unix))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "admin", unix))))]
pub(crate) mod socket;
pub(crate) mod transfer;

pub use archive::{ExportReport, ImportOptions, ImportReport};
pub use backup::{BackupReport, restore};
pub use copying::{Keys, LeaveOut, OnProgress, Progress};
pub use entry::StoredSession;
pub use inspector::{Inspector, VisitSession, VisitUserId};
pub use overview::{Histogram, Overview};
#[cfg(all(feature = "admin", unix))]
pub use socket::{AdminSocket, RunningStore};
pub use transfer::{TransferReport, transfer};
