//! The roles of this program as its own child: fill a store, write until it is killed, or open the
//! store and report the time and the memory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::contender::{Contender, Kind};
use crate::session::{Content, Id, Outcome, Random};

/// The number of the first content that a process to be killed writes.
const FIRST_KILLED: u64 = 1 << 32;
/// How many sessions are read before the memory is measured: enough to fill the caches, or all.
const READ_BEFORE_MEMORY: u64 = 200_000;

/// Runs the role of a child process.
pub fn run(words: &[String]) -> Outcome<()> {
    let [role, word, home, sessions] = words else {
        return Err("a child needs four words".into());
    };
    let (kind, home, sessions) = (Kind::from_word(word)?, PathBuf::from(home), sessions.parse::<u64>()?);
    match role.as_str() {
        "fill" => {
            let store = kind.open(&home.join("store"))?;
            let live = store.populate(0, sessions, 0)?.live;
            let words: Vec<String> = live.iter().map(Id::encode).collect();
            std::fs::write(home.join("ids"), words.join("\n"))?;
            store.close()
        }
        "write" => {
            let store = kind.open(&home.join("store"))?;
            for index in FIRST_KILLED.. {
                let id = store.create(&Content::of(index, 0))?.encode();
                let mut output = std::io::stdout().lock();
                writeln!(output, "{index} {id}")?;
                output.flush()?;
            }
            Ok(())
        }
        "open" => open_and_look(kind, &home, sessions),
        _ => Err("a child has no role of this name".into()),
    }
}

fn open_and_look(kind: Kind, home: &Path, sessions: u64) -> Outcome<()> {
    let ids =
        std::fs::read_to_string(home.join("ids"))?.lines().map(Id::parse).collect::<Outcome<Vec<Id>>>()?;
    let acknowledged = std::fs::read_to_string(home.join("acknowledged")).unwrap_or_default();
    let resident_before = resident_bytes()?;
    let check = |store: &dyn Contender, id: &Id, index: u64| -> Outcome<()> {
        if store.read(id)? == Some(Content::of(index, 0)) {
            return Ok(());
        }
        Err(format!("{} lost a session over a restart", kind.name()).into())
    };
    let id_at = |index: u64| ids.get(index as usize).ok_or("an id is missing");
    let start = Instant::now();
    let store = kind.open(&home.join("store"))?;
    check(store.as_ref(), id_at(0)?, 0)?;
    let spent = start.elapsed();

    let mut random = Random::new(1);
    for _ in 0..READ_BEFORE_MEMORY.min(sessions) {
        let index = random.next() % sessions;
        check(store.as_ref(), id_at(index)?, index)?;
    }
    let resident = resident_bytes()?.saturating_sub(resident_before);
    for line in acknowledged.lines() {
        let (index, id) = line.split_once(' ').ok_or("a line is cut short")?;
        check(store.as_ref(), &Id::parse(id)?, index.parse()?)?;
    }
    println!("{} {}", spent.as_nanos(), resident.saturating_sub(store.cache_bytes().min(resident)));
    store.close()
}

fn resident_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("the system reports no resident memory")?;
    let kibibytes = line.trim().trim_end_matches("kB").trim().parse::<u64>()?;
    Ok(kibibytes * 1024)
}
