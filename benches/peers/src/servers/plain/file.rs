//! The peer of a file: one write at the end of a file, and a sync.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::servers::Outcome;
use crate::servers::plain::{PlainCall, next};

const PAGE: [u8; 4096] = [7; 4096];

pub(super) struct Client(File);

impl Client {
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        Ok(Self(File::create_new(folder.join(format!("plain-{}", next())))?))
    }
}

impl super::Client for Client {
    fn call(&mut self, _: PlainCall) -> Outcome<()> {
        self.0.write_all(&PAGE)?;
        Ok(self.0.sync_data()?)
    }

    /// Removes the folder and everything in it.
    fn clean_up(&mut self) -> Outcome<()> {
        Ok(())
    }
}
