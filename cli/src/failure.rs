//! What went wrong, as it is told: one line what and where, its causes, and what to do.

use std::error::Error as _;
use std::io;

use sessile::Error;

use crate::output::plain;

/// Nothing was done, or not all of it.
pub(crate) const FAILED: u8 = 2;
/// As a shell has it for a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    because: Vec<String>,
    hint: Option<String>,
    pub(crate) code: u8,
    /// Whoever read the output has gone, and wants to hear nothing.
    silent: bool,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), because: vec![], hint: None, code: FAILED, silent: false }
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.because.push(cause.into());
        self
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn interrupted() -> Self {
        Self { code: INTERRUPTED, ..Self::new("interrupted") }
    }

    pub(crate) fn report(&self) {
        if self.silent {
            return;
        }
        // Paths, and what a server or a file says, are others' texts.
        eprintln!("sessile: {}", plain(&self.what));
        for cause in &self.because {
            eprintln!("  because {}", plain(cause));
        }
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {}", plain(hint));
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error, Error::CalledOff { .. }) {
            return Self::interrupted();
        }
        let mut failure = Self::new(error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            failure.because.push(cause.to_string());
            source = cause.source();
        }
        match hint_for(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        let failure = Self::new("could not write the output").because(error.to_string());
        Self { silent, code: if silent { 0 } else { FAILED }, ..failure }
    }
}

fn hint_for(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NotASessionStore { .. } => {
            "if it was one, `sessile salvage` copies what is readable to a new file"
        }
        Error::DamagedFile { .. } => "`sessile salvage` copies what is readable to a new file",
        Error::InvalidArchive { .. } => {
            "nothing was changed; `--partial` imports what comes before the fault"
        }
        Error::Io { action: "create", source, .. } if source.to_string().contains("exists") => {
            "nothing is written over: name another file, or move that one away"
        }
        Error::Io { action: "open", .. } => "a tool creates no store: check the path",
        _ => return None,
    })
}
