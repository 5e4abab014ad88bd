//! Reading an archive into a store.

use std::io::{Read, Seek};

use crate::admin::archive::format::{Header, SessionLine};
use crate::admin::archive::reader::Reader;
use crate::admin::copying::{Keys, OnProgress, Progress, Steps};
use crate::admin::inspector::Inspector;
use crate::admin::transfer::{Stored, is_same, put_if_missing};
use crate::error::{Error, Result};
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, current_name};
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// How an archive is imported.
///
/// # Examples
///
/// See [`Inspector::export`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until `import` gets them"]
pub struct ImportOptions {
    partial: bool,
}

impl ImportOptions {
    /// Whether what comes before a fault is imported. Default: `false`, an archive that was cut or
    /// altered is refused as a whole.
    pub fn partial(self, partial: bool) -> Self {
        Self { partial }
    }
}

/// What became of an import.
///
/// # Examples
///
/// See [`Inspector::export`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Sessions that the store did not have.
    pub imported: u64,
    /// Sessions that it had, as the archive has them or active later.
    pub already_there: u64,
    /// Sessions that were expired, and so not imported.
    pub expired: u64,
    /// Sessions that it had and that differ, or are damaged; they are as they were.
    pub differing: Keys,
    /// Where the archive is at fault, if only a [part](ImportOptions::partial) could be imported.
    pub fault: Option<Error>,
}

impl Inspector {
    /// Imports the sessions of an archive that was written with contents. What is there already and
    /// equal is counted, so an import that was broken off is taken up by repeating it. Nothing that
    /// is there is changed.
    ///
    /// The archive is read twice: once to see that it is whole, and once to import it. A new store
    /// takes its time of creation and its timeouts on record from the archive. It takes the
    /// content's name if it has none.
    ///
    /// # Durability
    ///
    /// That of the engine for each session; everything is on the disk once this returned.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArchive`] with the line, before anything is changed;
    /// [`Error::ContentMismatch`] if the store holds content of another name; [`Error::CalledOff`],
    /// or when the store cannot be written: what was imported so far stays.
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
        let mut total = None;
        if !options.partial {
            total = Some(verify(archive)?);
            begin(archive)?;
        }
        let (mut reader, header) = Reader::new(archive)?;
        let timeouts = self.take_on(&header, &reader)?;
        let mut steps =
            Steps { action: "import", progress: Progress { done: 0, total }, told: progress };
        steps.tell()?;
        let mut report = ImportReport::default();
        let moment = self.moment()?;
        let moment = Moment { timeouts, ..moment };
        loop {
            match next_record(&mut reader, &timeouts) {
                Ok(Some((key, record))) => {
                    steps.step()?;
                    if record.is_expired(moment) {
                        report.expired += 1;
                        continue;
                    }
                    let imported = record.clone();
                    match put_if_missing(self.engine(), &key, record, moment)? {
                        Stored::Now => report.imported += 1,
                        Stored::Already => report.already_there += 1,
                        Stored::Differing(it) if is_same(&it, &imported) => {
                            report.already_there += 1;
                        }
                        Stored::Differing(_) | Stored::Damaged => report.differing.add(key),
                    }
                }
                Ok(None) => break,
                Err(error @ Error::InvalidArchive { .. }) if options.partial => {
                    report.fault = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.engine().flush()?;
        steps.tell()?;
        Ok(report)
    }

    /// Compares the archive's header with this store's, and adopts what this one lacks. The
    /// timeouts to go by.
    fn take_on<R: Read>(&self, header: &Header, reader: &Reader<R>) -> Result<Timeouts> {
        if !header.with_content {
            return Err(reader.fault(
                "says that the archive holds no contents: it can be read, not imported; \
                 export with contents",
            ));
        }
        let timeouts = header.timeouts().map_err(|reason| reader.fault(reason))?;
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
        Ok(on_record.unwrap_or(Timeouts::ENDLESS))
    }
}

/// Reads all of it, and counts its sessions.
fn verify(archive: &mut impl Read) -> Result<u64> {
    let (mut reader, header) = Reader::new(archive)?;
    header.timeouts().map_err(|reason| reader.fault(reason))?;
    let mut sessions = 0;
    while let Some(line) = reader.next_session()? {
        if header.with_content {
            record_of(&reader, &line, &Timeouts::ENDLESS)?;
        }
        sessions += 1;
    }
    Ok(sessions)
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
