//! A store as text: JSON Lines that any tool can read, and that come back as they were.
//!
//! A header, a line for each session, and a trailer with their number and the SHA-256 of all bytes
//! before it; `format.rs` has every field, docs/archive.md describes them. Invariant: what was cut
//! or altered is seen before anything is imported, unless the caller wants what comes before the
//! fault.

pub(crate) mod export;
pub(in crate::admin) mod format;
pub(crate) mod import;
pub(crate) mod reader;

pub use export::ExportReport;
pub use import::{ImportOptions, ImportReport};
