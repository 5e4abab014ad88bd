//! The lines without a contest, each measured on its own store: how many operations share a commit,
//! opening after a clean close and after SIGKILL, the memory of an open store, and the file's size
//! after the whole population was replaced ten times.
//!
//! Opening and memory are measured in child processes of this program, because earlier work of a
//! process would change both. The files stay in the operating system's page cache.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contender::{Contender, Kind};
use crate::lines::{Alone, Mode, Scale};
use crate::operation::Call;
use crate::race::Spread;
use crate::report::Row;
use crate::session::{Content, Id, Outcome, RECORD_BYTES};
use crate::subject::Subject;
use crate::touch_age;

/// The threads that change a store together.
const CROWD: usize = 32;
const TURNOVERS: u64 = 10;

/// The report of a child that opened the store.
struct Opened {
    nanoseconds: f64,
    resident_less_cache: f64,
}

/// Measures those of the lines f, k, l, m and q that `wanted` accepts.
pub fn run(kind: Kind, scale: &Scale, data: &Path, wanted: impl Fn(char) -> bool) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    if wanted('f') {
        rows.extend(operations_per_commit(kind, scale, &data.join("crowd"))?);
    }
    let home = data.join("alone");
    if wanted('k') || wanted('m') {
        std::fs::create_dir_all(&home)?;
        child(&["fill", kind.word()], &home, scale.opened)?.wait_well()?;
        let (mut clean, mut killed) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            clean.push(opened(kind, &home, scale.opened)?);
            kill_while_writing(kind, &home, scale)?;
            killed.push(opened(kind, &home, scale.opened)?);
        }
        let times = |opened: &[Opened]| opened.iter().map(|opened| opened.nanoseconds).collect::<Vec<f64>>();
        let memory: Vec<f64> =
            clean.iter().map(|opened| opened.resident_less_cache / scale.opened as f64).collect();
        rows.push((Alone::OpenClean, Spread::of(&times(&clean))));
        rows.push((Alone::OpenAfterKill, Spread::of(&times(&killed))));
        rows.push((Alone::Memory, Spread::of(&memory)));
        std::fs::remove_dir_all(&home)?;
    }
    if wanted('l') {
        rows.push((Alone::FileSize, file_after_turnovers(kind, scale, &data.join("turnover"))?));
    }
    if wanted('q') && kind == Kind::Ours {
        for rate in touch_age::RATES {
            let spread = touch_age::run(scale, &data.join("touched"), rate)?;
            rows.push((Alone::OldestTouch(rate), spread));
        }
    }
    let lines = crate::lines::lines_alone(scale);
    let row = |(measured, spread): (Alone, Spread)| {
        let (letter, words, _, sessions) = lines.into_iter().find(|(_, _, alone, _)| *alone == measured)?;
        let is_time = matches!(measured, Alone::OpenClean | Alone::OpenAfterKill | Alone::OldestTouch(_));
        let row = Row {
            operation: words.to_owned(),
            sessions,
            threads: if measured == Alone::OperationsPerCommit { CROWD } else { 1 },
            ours_ns: is_time.then_some(spread.median),
            peer: None,
            peer_ns: None,
            ratio: (!is_time).then_some(spread.median),
            ratio_min: (!is_time).then_some(spread.least),
            ratio_max: (!is_time).then_some(spread.most),
            line: Some(letter),
        };
        eprintln!("{}", row.line_of_text());
        wanted(letter).then_some(row)
    };
    Ok(rows.into_iter().filter_map(row).collect())
}

/// The average operations per commit while threads create sessions, if the side counts them.
fn operations_per_commit(kind: Kind, scale: &Scale, directory: &Path) -> Outcome<Option<(Alone, Spread)>> {
    let subject = Subject::new(kind, kind.open(directory)?, 0)?;
    let mut averages = Vec::new();
    for _ in 0..scale.rounds {
        let Some(before) = subject.store.commits()? else { break };
        subject.time(Call::Create, CROWD, scale.pace.write)?;
        let after = subject.store.commits()?.unwrap_or(before);
        averages.push((after.1 - before.1) as f64 / (after.0 - before.0).max(1) as f64);
    }
    subject.store.close()?;
    std::fs::remove_dir_all(directory)?;
    Ok((!averages.is_empty()).then(|| (Alone::OperationsPerCommit, Spread::of(&averages))))
}

/// A child process. Dropping it kills the child and waits for its end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn wait_well(&mut self) -> Outcome<()> {
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err("a child process of the race failed".into()) }
    }
}

fn child(words: &[&str], home: &Path, sessions: u64) -> Outcome<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").args(words).arg(home).arg(sessions.to_string());
    Ok(Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?))
}

fn opened(kind: Kind, home: &Path, sessions: u64) -> Outcome<Opened> {
    let mut running = child(&["open", kind.word()], home, sessions)?;
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    running.wait_well()?;
    let (time, memory) = line.trim().split_once(' ').ok_or("a child process gave no numbers")?;
    Ok(Opened { nanoseconds: time.parse()?, resident_less_cache: memory.parse()? })
}

/// Lets a child create sessions for a while, kills it, and records the acknowledged sessions.
fn kill_while_writing(kind: Kind, home: &Path, scale: &Scale) -> Outcome<()> {
    let slice = Duration::from_millis(if scale.mode == Mode::Quick { 100 } else { 1000 });
    let mut running = child(&["write", kind.word()], home, 0)?;
    let mut lines = BufReader::new(running.0.stdout.take().ok_or("no output")?);
    let (mut acknowledged, mut began) = (String::new(), None::<Instant>);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            break;
        }
        if line.ends_with('\n') {
            acknowledged += &line;
        }
        if began.get_or_insert_with(Instant::now).elapsed() >= slice {
            // On Unix this is SIGKILL, which a process can neither catch nor delay.
            running.0.kill()?;
        }
    }
    if acknowledged.is_empty() {
        return Err("the killed process had written nothing".into());
    }
    Ok(std::fs::write(home.join("acknowledged"), acknowledged)?)
}

/// The ratio of the bytes of all files to the bytes of the records, after all sessions were
/// replaced ten times. The spread is the least and the most after any of the ten.
fn file_after_turnovers(kind: Kind, scale: &Scale, directory: &Path) -> Outcome<Spread> {
    let sessions = scale.turned_over;
    let ratio = || Outcome::Ok(bytes_below(directory)? as f64 / (sessions * RECORD_BYTES as u64) as f64);
    let mut ratios = Vec::new();
    let store = kind.open(directory)?;
    let mut ids = store.populate(0, sessions, 0)?.live;
    for turnover in 1..=TURNOVERS {
        let share = ids.len().div_ceil(CROWD);
        std::thread::scope(|scope| {
            let threads: Vec<_> = ids
                .chunks_mut(share)
                .enumerate()
                .map(|(thread, ids)| {
                    let first = turnover * sessions + (thread * share) as u64;
                    let store = &store;
                    scope.spawn(move || replace(store.as_ref(), first, ids))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })?;
        ratios.push(ratio()?);
    }
    for (index, id) in (TURNOVERS * sessions..).zip(&ids) {
        if store.read(id)? != Some(Content::of(index, 0)) {
            return Err(format!("{} lost a session while the population changed", kind.name()).into());
        }
    }
    store.close()?;
    let last = ratio()?;
    std::fs::remove_dir_all(directory)?;
    Ok(Spread { median: last, ..Spread::of(&ratios) })
}

fn replace(store: &dyn Contender, first: u64, ids: &mut [Id]) -> Outcome<()> {
    for (index, id) in (first..).zip(ids) {
        if !store.destroy(id)? {
            return Err("a session was gone before it was destroyed".into());
        }
        *id = store.create(&Content::of(index, 0))?;
    }
    Ok(())
}

fn bytes_below(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
