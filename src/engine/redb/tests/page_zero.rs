//! In its page 0, redb writes its header and nothing else. The rest of the page holds the log's
//! sectors, so redb's version is pinned, and this test shows whether another version may be used.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, Durability, StorageBackend, TableDefinition};

use crate::engine::redb::log::location;

/// The end of redb's header; see docs/internals/format.md.
const HEADER_LEN: u64 = 320;
const PAGE: u64 = 4_096;
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("table");

/// Records the writes that reach into page 0.
#[derive(Clone, Debug)]
struct Noting {
    file: Arc<InMemoryBackend>,
    writes: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl StorageBackend for Noting {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        assert!(len == 0 || len >= PAGE, "page 0 is cut at {len}");
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset < PAGE {
            self.writes.lock().push((offset, offset + data.len() as u64));
        }
        self.file.write(offset, data)
    }
}

fn open(file: &Noting) -> Database {
    let mut builder = Builder::new();
    builder.set_cache_size(256 * 1024).set_check_integrity_on_open(true);
    builder.create_with_backend(file.clone()).unwrap()
}

/// Makes commits of each kind, large enough for the file to grow and then to shrink.
fn work_on(database: &mut Database) {
    for (round, durability) in
        [Durability::Immediate, Durability::None, Durability::Immediate].into_iter().enumerate()
    {
        for number in 0..20_u64 {
            let mut transaction = database.begin_write().unwrap();
            transaction.set_durability(durability).unwrap();
            transaction.set_two_phase_commit(number % 2 == 0);
            transaction.set_quick_repair(number % 3 == 0);
            {
                let mut table = transaction.open_table(TABLE).unwrap();
                let key = round as u64 * 100 + number;
                table.insert(key, [7; 60_000].as_slice()).unwrap();
                if key > 30 {
                    table.remove(key - 30).unwrap();
                }
            }
            match number {
                5 => transaction.abort().unwrap(),
                _ => transaction.commit().unwrap(),
            }
        }
    }
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TABLE).unwrap().retain(|key, _| key % 10 == 0).unwrap();
    transaction.commit().unwrap();
    database.compact().unwrap();
}

#[test]
fn redb_writes_its_header_and_nothing_else_of_page_0() {
    let file = Noting { file: Arc::new(InMemoryBackend::new()), writes: Arc::default() };
    work_on(&mut open(&file));
    // The file as a killed process leaves it, so that opening repairs it.
    let open_still = open(&file);
    let copy = Arc::new(InMemoryBackend::new());
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read(0, &mut bytes).unwrap();
    copy.set_len(bytes.len() as u64).unwrap();
    copy.write(0, &bytes).unwrap();
    drop(open_still);
    let copy = Noting { file: copy, writes: Arc::clone(&file.writes) };
    work_on(&mut open(&copy));

    let writes = file.writes.lock();
    assert!(writes.len() > 50, "{} writes of the header", writes.len());
    let beyond: Vec<_> = writes.iter().filter(|(_, end)| *end > HEADER_LEN).collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    assert!(location::OFFSETS.iter().all(|offset| *offset >= HEADER_LEN));
}
