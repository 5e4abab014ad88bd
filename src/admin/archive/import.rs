//! Reads an archive into a store.

use std::io::{Read, Seek};

use crate::admin::archive::format::{Header, SessionLine};
use crate::admin::archive::reader::Reader;
use crate::admin::arrival::{Arrival, May, bring};
use crate::admin::copying::{Keys, OnProgress, Progress, Steps};
use crate::admin::inspector::Inspector;
use crate::error::{Error, Result};
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, current_name};
use crate::store::events::causes;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The options of an import.
///
/// # Examples
///
/// See [`Inspector::export`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until `import` gets them"]
pub struct ImportOptions {
    partial: bool,
    verified: Option<VerifiedArchive>,
}

impl ImportOptions {
    /// Sets whether the sessions before a fault are imported. Default: `false`; an archive that was
    /// cut off or altered is then refused as a whole.
    pub fn partial(self, partial: bool) -> Self {
        Self { partial, ..self }
    }

    /// Sets what [`verify_archive`] returned for the archive, which the import then reads only
    /// once. It compares what it reads with this, so that no part of another archive passes for a
    /// whole one.
    pub fn verified(self, archive: VerifiedArchive) -> Self {
        Self { verified: Some(archive), ..self }
    }
}

/// An archive that was read to its end and can be imported.
///
/// # Examples
///
/// See [`verify_archive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedArchive {
    sessions: u64,
    digest: String,
}

impl VerifiedArchive {
    /// Returns the number of the archive's sessions.
    #[must_use]
    pub const fn sessions(&self) -> u64 {
        self.sessions
    }
}

/// The result of an import.
///
/// # Examples
///
/// See [`Inspector::export`].
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Sessions that the store did not have.
    pub imported: u64,
    /// Sessions that the store had already. They have the archive's last activity by now, or a
    /// later one.
    pub already_there: u64,
    /// Sessions that were expired under the archive's timeouts or the store's, and so not imported.
    pub expired: u64,
    /// Sessions that the store had already and that differ there, are damaged there, or ended there
    /// during the import. They are left unchanged, and what has ended stays so. Also sessions that
    /// a server did not store, or ended, while the answers to their inserts were lost.
    pub differing: Keys,
    /// The fault of the archive, if only a [part](ImportOptions::partial) could be imported.
    /// Serialized as one line with the error and its causes.
    #[serde(serialize_with = "causes::serialize_optional")]
    pub fault: Option<Error>,
}

impl Inspector {
    /// Imports the sessions of an archive that was written with contents. A session that is there
    /// gets the later last activity of the two; nothing else changes. It is counted, so an
    /// interrupted import can be repeated.
    ///
    /// A repeated import brings back what ended in the store since the one before, as long as it
    /// has not expired: an archive does not know of a logout. So repeat an import before the
    /// store's users log out, and before sessions are revoked.
    ///
    /// The archive is read twice: once to verify it, and once to import it. A new store takes its
    /// time of creation and its timeouts on record from the archive. A store without a content name
    /// takes the archive's.
    ///
    /// # Durability
    ///
    /// Each session is as durable as with the engine's own writes. Every session is on the disk
    /// once the call has returned.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArchive`] with the line, before anything is changed;
    /// [`Error::ContentMismatch`] if the store holds content of another name;
    /// [`Error::ArchiveChanged`] if a program changed the archive after it was verified;
    /// [`Error::CalledOff`]; or if the store cannot be written. In the last three cases the
    /// sessions imported so far stay.
    pub fn import<R: Read + Seek>(
        &self,
        archive: &mut R,
        options: &ImportOptions,
        progress: &mut OnProgress<'_>,
    ) -> Result<ImportReport> {
        let begin = |archive: &mut R| {
            archive.rewind().map_err(|error| Error::io("read", "the archive", error))
        };
        begin(archive)?;
        let mut verified = options.verified.clone();
        if verified.is_none() && !options.partial {
            verified = Some(verify_archive(archive, progress)?);
            begin(archive)?;
        }
        let total = verified.as_ref().map(VerifiedArchive::sessions);
        let mut steps =
            Steps { action: "import", progress: Progress { done: 0, total }, told: progress };
        let mut report = ImportReport::default();
        let mut has_header = false;
        let read = Reader::new(archive).and_then(|(mut reader, header)| {
            let kept_for = self.take_on(&header, &reader)?;
            has_header = true;
            self.read_in(&mut reader, &kept_for, &mut steps, &mut report)?;
            match &verified {
                Some(verified) if verified.digest != reader.digest() => {
                    Err(reader.fault("ends another archive"))
                }
                _ => Ok(()),
            }
        });
        match read {
            Err(Error::InvalidArchive { line, .. }) if verified.is_some() => {
                self.engine().flush()?;
                return Err(Error::ArchiveChanged { line, imported: report.imported });
            }
            Err(error @ Error::InvalidArchive { .. }) if has_header => report.fault = Some(error),
            read => read?,
        }
        self.engine().flush()?;
        steps.tell()?;
        Ok(report)
    }

    /// Reads the sessions in, up to the end of the archive or its first fault.
    fn read_in<R: Read>(
        &self,
        reader: &mut Reader<R>,
        kept_for: &KeptFor,
        steps: &mut Steps<'_, '_>,
        report: &mut ImportReport,
    ) -> Result<()> {
        steps.tell()?;
        let moment = Moment { timeouts: kept_for.here, ..self.moment()? };
        let at_source = Moment { timeouts: kept_for.at_source, ..moment };
        while let Some((key, record)) = next_record(reader, &kept_for.here)? {
            steps.step()?;
            // A session that its source no longer shows does not come back under longer timeouts.
            if record.is_expired(moment) || record.is_expired(at_source) {
                report.expired += 1;
                continue;
            }
            let may = May { insert: true, replace: false };
            match bring(self.engine(), &key, &record, moment, may)? {
                Arrival::Stored => report.imported += 1,
                Arrival::Already | Arrival::Updated => report.already_there += 1,
                Arrival::Differing | Arrival::Damaged | Arrival::Ended => report.differing.add(key),
            }
        }
        Ok(())
    }

    /// Compares the archive's header with the store's metadata, and stores what is missing there.
    fn take_on<R: Read>(&self, header: &Header, reader: &Reader<R>) -> Result<KeptFor> {
        let timeouts = check_header(header, reader)?;
        let engine = self.engine();
        if let Some(name) = &header.content_name {
            let found = engine.init_meta(CONTENT_NAME, name.as_bytes())?;
            if let Some(found) = current_name(&found).filter(|found| found != name) {
                let detail = format!(
                    "the archive holds content named `{name}` and the store content named `{found}`"
                );
                return Err(Error::ContentMismatch { detail, source: None });
            }
        }
        if let Some(created_at) = header.created_at {
            engine.init_meta(CREATED_AT, &created_at.to_le_bytes())?;
        }
        let on_record = match timeouts {
            Some(timeouts) => Some(engine.init_meta(TIMEOUTS, &timeouts.to_bytes())?),
            None => engine.load_meta(TIMEOUTS)?,
        };
        let on_record = on_record.and_then(|bytes| Timeouts::from_bytes(&bytes));
        Ok(KeptFor {
            here: on_record.unwrap_or(Timeouts::ENDLESS),
            at_source: timeouts.unwrap_or(Timeouts::ENDLESS),
        })
    }
}

/// The timeouts on record: in the store, and in the archive's header.
struct KeptFor {
    here: Timeouts,
    at_source: Timeouts,
}

/// Reads the whole archive, for [`ImportOptions::verified`]. It needs no store, so that one is
/// created only for an archive that can be imported.
///
/// # Errors
///
/// [`Error::InvalidArchive`] with the line if [`Inspector::import`] would refuse the archive;
/// [`Error::Io`] if it cannot be read; [`Error::CalledOff`].
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow::Continue;
/// use sessile::{Error, admin};
///
/// let verified = admin::verify_archive(&mut &b"a thesis"[..], &mut |_| Continue(()));
/// assert!(matches!(verified, Err(Error::InvalidArchive { line: 1, .. })));
/// ```
pub fn verify_archive(
    archive: &mut impl Read,
    progress: &mut OnProgress<'_>,
) -> Result<VerifiedArchive> {
    let (mut reader, header) = Reader::new(archive)?;
    check_header(&header, &reader)?;
    let mut steps = Steps { action: "import", progress: Progress::default(), told: progress };
    steps.tell()?;
    while let Some(line) = reader.next_session()? {
        record_of(&reader, &line, &Timeouts::ENDLESS)?;
        steps.step()?;
    }
    Ok(VerifiedArchive { sessions: steps.progress.done, digest: reader.digest() })
}

/// Returns the archive's timeouts; an error if it cannot be imported.
fn check_header<R: Read>(header: &Header, reader: &Reader<R>) -> Result<Option<Timeouts>> {
    if !header.with_content {
        return Err(reader.fault(
            "says that the archive holds no contents: it can be read, not imported; \
             export with contents",
        ));
    }
    header.check_name().map_err(|reason| reader.fault(&reason))?;
    header.timeouts().map_err(|reason| reader.fault(reason))
}

type Entry = (crate::key::SessionKey, crate::record::Record);

fn next_record<R: Read>(reader: &mut Reader<R>, timeouts: &Timeouts) -> Result<Option<Entry>> {
    match reader.next_session()? {
        Some(line) => record_of(reader, &line, timeouts).map(Some),
        None => Ok(None),
    }
}

fn record_of<R: Read>(
    reader: &Reader<R>,
    line: &SessionLine,
    timeouts: &Timeouts,
) -> Result<Entry> {
    line.to_record(timeouts).map_err(|reason| reader.fault(reason))
}
