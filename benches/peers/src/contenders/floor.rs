//! The limit of the disk: 256 bytes written into a file whose blocks were all written before, then
//! fdatasync. Nothing durable is faster. This side has no index, no deadlines and no log.

use std::fs::{File, OpenOptions};
#[cfg(unix)]
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::contender::{Contender, Population};
use crate::session::{self, CONTENT_BYTES, Content, Id, Outcome};

/// How many contents fit; later ones overwrite the first.
const SLOTS: u64 = 1 << 18;
const BLOCK: usize = 1 << 20;

/// The two calls of Unix, by those of Windows.
#[cfg(windows)]
trait FileExt {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()>;
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<()>;
}

#[cfg(windows)]
impl FileExt for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let written = std::os::windows::fs::FileExt::seek_write(self, bytes, offset)?;
        if written == bytes.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
        let read = std::os::windows::fs::FileExt::seek_read(self, bytes, offset)?;
        if read == bytes.len() { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }
}

pub struct Floor {
    file: File,
    next: AtomicU64,
}

impl Floor {
    pub fn open(directory: &Path) -> Outcome<Self> {
        let path = directory.join("floor");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // In a file that grows, or has unwritten blocks, fdatasync would also write metadata.
        let block = vec![0xff; BLOCK];
        for offset in (0..SLOTS * CONTENT_BYTES as u64).step_by(BLOCK) {
            file.write_all_at(&block, offset)?;
        }
        file.sync_all()?;
        Ok(Self { file, next: AtomicU64::new(0) })
    }

    /// The slot of an id. The id is the slot's number, so there is no index.
    fn slot(id: &Id) -> u64 {
        let mut slot = [0; 8];
        if let Id::Raw(bytes) = id {
            slot.copy_from_slice(&bytes[..8]);
        }
        u64::from_le_bytes(slot) % SLOTS * CONTENT_BYTES as u64
    }

    fn take_slot(&self) -> Id {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&slot.to_le_bytes());
        Id::Raw(id)
    }

    fn write(&self, id: &Id, bytes: &[u8]) -> Outcome<()> {
        self.file.write_all_at(bytes, Self::slot(id))?;
        Ok(self.file.sync_data()?)
    }
}

impl Contender for Floor {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        if live > SLOTS || expired > 0 {
            return Err("the file of the disk's limit is too small".into());
        }
        let mut population = Population::default();
        for index in first..first + live {
            let id = self.take_slot();
            self.file.write_all_at(&session::encode_content(&Content::of(index, 0))?, Self::slot(&id))?;
            population.live.push(id);
        }
        self.file.sync_all()?;
        Ok(population)
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        let mut bytes = [0; CONTENT_BYTES];
        self.file.read_exact_at(&mut bytes, Self::slot(id))?;
        if bytes.iter().all(|byte| *byte == 0xff) {
            return Ok(None);
        }
        session::decode_content(&bytes).map(Some)
    }

    fn extend(&self, id: &Id) -> Outcome<bool> {
        let Some(content) = self.read(id)? else {
            return Ok(false);
        };
        self.write(id, &session::encode_content(&content)?)?;
        Ok(true)
    }

    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>> {
        let content = self.read(id)?;
        if let Some(content) = &content {
            self.write(id, &session::encode_content(content)?)?;
        }
        Ok(content)
    }

    fn create(&self, content: &Content) -> Outcome<Id> {
        let id = self.take_slot();
        self.write(&id, &session::encode_content(content)?)?;
        Ok(id)
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        self.write(id, &session::encode_content(content)?)?;
        Ok(true)
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        self.write(id, &[0xff; CONTENT_BYTES])?;
        Ok(true)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        Err("the disk's limit has no deadlines".into())
    }
}
