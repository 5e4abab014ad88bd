//! Reads an archive line by line, and detects its faults.
//!
//! Invariant: a line is read in bounded memory, and no session is returned after a fault. Only an
//! archive that ends with a valid trailer is complete.

use std::io::{BufRead, BufReader, Read};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::admin::archive::export::hex;
use crate::admin::archive::format::{Header, Line, SessionLine, Trailer, VERSION};
use crate::error::{Error, Result};

/// The most bytes of a line. A session with the largest content, in base64, takes fewer.
const MAX_LINE: u64 = 32 * 1024 * 1024;

pub(super) struct Reader<R> {
    input: BufReader<R>,
    digest: Sha256,
    line: Vec<u8>,
    number: u64,
    sessions: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub(super) fn new(input: R) -> Result<(Self, Header)> {
        let mut reader = Self {
            input: BufReader::new(input),
            digest: Sha256::new(),
            line: Vec::new(),
            number: 0,
            sessions: 0,
        };
        if !reader.next_line()? {
            return Err(reader.fault("is missing: the archive is empty"));
        }
        let header: Header = reader.parse("is no header of an archive")?;
        reader.digest.update(&reader.line);
        if header.sessile_archive != VERSION {
            let found = header.sessile_archive;
            return Err(reader.fault(&format!(
                "is of an archive of version {found}, and this program reads version {VERSION}"
            )));
        }
        Ok((reader, header))
    }

    /// Returns the next session; `None` once a valid trailer was read.
    pub(super) fn next_session(&mut self) -> Result<Option<SessionLine>> {
        if !self.next_line()? {
            return Err(self.fault("is missing: the archive was cut off"));
        }
        match self.parse("is neither a session nor the trailer")? {
            Line::Session(session) => {
                self.digest.update(&self.line);
                self.sessions += 1;
                Ok(Some(*session))
            }
            Line::Trailer(trailer) => {
                self.check(&trailer)?;
                if self.next_line()? {
                    return Err(self.fault("stands behind the trailer"));
                }
                // The trailer was the last line.
                self.number -= 1;
                Ok(None)
            }
        }
    }

    /// Returns an error at the line that was read last, counted from 1.
    pub(super) fn fault(&self, reason: &str) -> Error {
        Error::InvalidArchive { line: self.number, reason: reason.into() }
    }

    /// Returns the digest of every line that was read, without the trailer.
    pub(super) fn digest(&self) -> String {
        hex(&self.digest.clone().finalize())
    }

    fn check(&self, trailer: &Trailer) -> Result<()> {
        if trailer.sessions != self.sessions {
            let (told, found) = (trailer.sessions, self.sessions);
            return Err(self.fault(&format!("tells of {told} sessions, and there are {found}")));
        }
        match self.digest() == trailer.sha256 {
            true => Ok(()),
            false => Err(self.fault("has the checksum of another archive: this one was altered")),
        }
    }

    fn parse<T: DeserializeOwned>(&self, reason: &str) -> Result<T> {
        // Serde would take a list for the fields in their order.
        if !self.line.trim_ascii_start().starts_with(b"{") {
            return Err(self.fault(&format!("{reason} (it is no JSON object)")));
        }
        serde_json::from_slice(&self.line)
            .map_err(|error| self.fault(&format!("{reason} ({error})")))
    }

    /// Reads the next line, with its line end; `false` if there is none.
    fn next_line(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let mut limited = (&mut self.input).take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut self.line);
        read.map_err(|error| Error::io("read", "the archive", error))?;
        match self.line.last() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) => Err(self.fault("has no end: the archive was cut off, or is none")),
        }
    }
}
