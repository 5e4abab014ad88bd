//! A store as text: JSON Lines that any tool can read, and that can be imported unchanged.
//!
//! The archive has a header, a line for each session, and a trailer with their number and the
//! SHA-256 of all bytes before it. `format.rs` has every field, and docs/internals/archive.md
//! describes them. Invariant: a cut or an alteration is detected before anything is imported,
//! unless the caller wants the part before the fault.

pub(crate) mod export;
pub(in crate::admin) mod format;
pub(crate) mod import;
pub(crate) mod reader;

pub use export::ExportReport;
pub use import::{ImportOptions, ImportReport, VerifiedArchive, verify_archive};
