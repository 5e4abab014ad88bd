//! Writes an archive.

use std::io;
use std::io::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::admin::archive::format::{Header, SessionLine, Trailer};
use crate::admin::copying::{Keys, LeaveOut, OnProgress, Progress, Steps, for_each_record};
use crate::admin::inspector::Inspector;
use crate::error::{Error, Result};
use crate::session::user::UserId;

/// The result of an export.
///
/// # Examples
///
/// See [`Inspector::export`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// Sessions in the archive, expired ones included.
    pub sessions: u64,
    /// Sessions that were left out on request.
    pub left_out: u64,
    /// Users to leave out of whom the store had no session, as in a
    /// [backup](crate::admin::BackupReport::unmatched_users).
    pub unmatched_users: Vec<UserId>,
    /// Damaged records, which are not in the archive.
    pub damaged: Keys,
}

impl Inspector {
    /// Writes the store as an archive: a line of JSON for each session, as of one moment if the
    /// engine can show one. Sessions are streamed.
    ///
    /// # Security
    ///
    /// Without `with_content` the archive holds neither contents nor CSRF tokens; it can be read,
    /// but not [imported](Self::import). It always holds users, and never a session id.
    ///
    /// # Errors
    ///
    /// If the store cannot be read; [`Error::Io`] if `out` cannot be written; [`Error::CalledOff`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Cursor;
    /// use std::ops::ControlFlow::Continue;
    /// use sessile::{Inspector, MemoryEngine, SessionStore, admin::{ImportOptions, LeaveOut}};
    ///
    /// let engine = std::sync::Arc::new(MemoryEngine::new());
    /// let store = SessionStore::<u32>::builder().engine(engine.clone()).build()?;
    /// let session = store.create_for_user("ann", 7)?;
    ///
    /// let mut archive = Vec::new();
    /// let leave_out = LeaveOut::nothing();
    /// Inspector::on(engine)?.export(&mut archive, true, &leave_out, &mut |_| Continue(()))?;
    /// assert_eq!(archive.split(|byte| *byte == b'\n').count(), 3 + 1);
    ///
    /// let other = std::sync::Arc::new(MemoryEngine::new());
    /// let options = ImportOptions::default();
    /// let inspector = Inspector::on(other.clone())?;
    /// let report = inspector.import(&mut Cursor::new(archive), &options, &mut |_| Continue(()))?;
    /// assert_eq!(report.imported, 1);
    /// let store = SessionStore::<u32>::builder().engine(other).build()?;
    /// assert_eq!(store.read(session.id())?.map(|session| session.into_content()), Some(7));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn export(
        &self,
        out: &mut dyn Write,
        with_content: bool,
        leave_out: &LeaveOut,
        progress: &mut OnProgress<'_>,
    ) -> Result<ExportReport> {
        let mut archive = Archive { out, digest: Sha256::new() };
        archive.line(&Header::of(self.engine(), with_content, self.moment()?.now)?)?;
        let mut report = ExportReport::default();
        let total = self.engine().stats()?.stored;
        let progress_so_far = Progress { done: 0, total: Some(total) };
        let mut steps = Steps { action: "export", progress: progress_so_far, told: progress };
        let mut choice = leave_out.choice();
        let ExportReport { sessions, damaged, .. } = &mut report;
        for_each_record(self.engine(), &mut steps, damaged, &mut |key, record| {
            if !choice.takes(&record) {
                return Ok(());
            }
            *sessions += 1;
            archive.line(&SessionLine::of(&key, &record, with_content))
        })?;
        archive.end(*sessions)?;
        (report.left_out, report.unmatched_users) = (choice.left_out(), choice.unmatched());
        Ok(report)
    }
}

struct Archive<'o> {
    out: &'o mut dyn Write,
    digest: Sha256,
}

impl Archive<'_> {
    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.out.write_all(&bytes).map_err(failed)
    }

    fn end(mut self, sessions: u64) -> Result<()> {
        let sha256 = hex(&self.digest.clone().finalize());
        self.line(&Trailer { sessions, sha256 })?;
        self.out.flush().map_err(failed)
    }
}

pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(error: io::Error) -> Error {
    Error::io("write", "the archive", error)
}
