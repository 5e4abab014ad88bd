//! The lines of the race: for each, the measurement, the number of sessions and the peers.
//!
//! Every line is a ratio of our time to the peer's, so less is better. Line b is the ratio of our
//! throughput with two threads to that with one, so more is better. A line with several peers
//! measures all of them, and its letter goes to the fastest.

use std::time::Duration;

use crate::contender::Kind;
use crate::measure::{Measure, Pace};
use crate::operation::Call;
use crate::touch_age;

/// The size of the race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Quick,
    Usual,
    Full,
}

/// The numbers of a mode.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub mode: Mode,
    pub rounds: usize,
    pub pace: Pace,
    /// The sessions of every line without a number of its own.
    pub sessions: u64,
    /// The expired sessions that line h sweeps, among `fewer` and among `more` sessions.
    pub swept: u64,
    pub fewer: u64,
    pub more: u64,
    /// The expired sessions that line i sweeps while it creates.
    pub swept_meanwhile: u64,
    /// The sessions of lines k and m.
    pub opened: u64,
    /// The sessions of line l.
    pub turned_over: u64,
    /// The two numbers of sessions that line n compares.
    pub smallest: u64,
    pub largest: u64,
}

impl Scale {
    pub fn of(mode: Mode) -> Self {
        let milliseconds = Duration::from_millis;
        let usual = Self {
            mode,
            rounds: 5,
            pace: Pace {
                read: milliseconds(200),
                write: milliseconds(300),
                tail: milliseconds(2000),
                tail_creates: 500,
                tail_sweeps: 1,
            },
            sessions: 100_000,
            swept: 10_000,
            fewer: 100_000,
            more: 1_000_000,
            swept_meanwhile: 100_000,
            opened: 1_000_000,
            turned_over: 100_000,
            smallest: 10_000,
            largest: 10_000_000,
        };
        match mode {
            Mode::Usual | Mode::Full => usual,
            Mode::Quick => Self {
                rounds: 3,
                pace: Pace {
                    read: milliseconds(30),
                    write: milliseconds(30),
                    tail: milliseconds(300),
                    tail_creates: 100,
                    tail_sweeps: 1,
                },
                swept_meanwhile: 5_000,
                swept: 1_000,
                fewer: 10_000,
                more: 100_000,
                opened: 100_000,
                turned_over: 1_000,
                largest: 100_000,
                ..usual
            },
        }
    }
}

/// One side of a contest: the contender, the measurement, the sessions and the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    pub kind: Kind,
    pub measure: Measure,
    pub sessions: u64,
    pub threads: usize,
}

/// One contest: our side and its peers.
#[derive(Clone, Debug)]
pub struct Contest {
    pub line: Option<char>,
    pub operation: String,
    pub ours: Side,
    pub peers: Vec<Side>,
    /// Whether the ratio is of throughputs instead of times.
    pub throughput: bool,
}

/// A measurement without a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    OperationsPerCommit,
    OpenClean,
    OpenAfterKill,
    FileSize,
    Memory,
    /// The oldest touch, at this many touches a second.
    OldestTouch(u64),
}

/// The lines without a contest: letter, title, measurement and number of sessions.
pub fn lines_alone(scale: &Scale) -> [(char, &'static str, Alone, u64); 8] {
    let [low, middle, high] = touch_age::RATES.map(Alone::OldestTouch);
    [
        ('f', "operations per commit, 32 threads create", Alone::OperationsPerCommit, 0),
        ('k', "open after a clean close, seconds in ns", Alone::OpenClean, scale.opened),
        ('k', "open after SIGKILL, seconds in ns", Alone::OpenAfterKill, scale.opened),
        ('l', "file after ten turnovers / bytes of records", Alone::FileSize, scale.turned_over),
        ('m', "resident memory less cache, bytes per session", Alone::Memory, scale.opened),
        ('q', "oldest touch in memory alone, 1,000 a second", low, scale.sessions),
        ('q', "oldest touch in memory alone, 10,000 a second", middle, scale.sessions),
        ('q', "oldest touch in memory alone, 100,000 a second", high, scale.sessions),
    ]
}

/// The lines that are contests, a to j, n and o.
pub fn lines(scale: &Scale) -> Vec<Contest> {
    [read_lines(scale), write_lines(scale), lines_of_many(scale)].concat()
}

fn read_lines(scale: &Scale) -> Vec<Contest> {
    use Call::{Extend, Read, ReadAndExtend, ReadUnknown};
    use Kind::{Lmdb, LmdbKept, Memory, Ours, Sqlite};
    let one = |kind, call| Side { kind, measure: Measure::Each(call), sessions: scale.sessions, threads: 1 };
    let two = Side { threads: 2, ..one(Ours, Read) };
    let throughput = |contest| Contest { throughput: true, ..contest };
    vec![
        line('a', "read", one(Ours, Read), &[one(Lmdb, Read), one(LmdbKept, Read)]),
        line('a', "read", one(Ours, Read), &[one(Memory, Read)]),
        throughput(line('b', "read, two threads / one (throughput)", two, &[one(Ours, Read)])),
        line('c', "read of an unknown id / of a hit", one(Ours, ReadUnknown), &[one(Ours, Read)]),
        line('d', "extend", one(Ours, Extend), &[one(Sqlite, Extend)]),
        line('d', "read_and_extend / read", one(Ours, ReadAndExtend), &[one(Ours, Read)]),
        line('d', "extend / read", one(Ours, Extend), &[one(Ours, Read)]),
    ]
}

fn write_lines(scale: &Scale) -> Vec<Contest> {
    use Call::{Create, Destroy, Update};
    use Kind::{Floor, Ours, PlainRedb, Sqlite};
    let one = |kind, measure| Side { kind, measure, sessions: scale.sessions, threads: 1 };
    let each = |kind, call| one(kind, Measure::Each(call));
    let crowd = |kind| Side { threads: 32, ..each(kind, Create) };
    let writes = |kind| one(kind, Measure::Writes);
    vec![
        line('e', "create", each(Ours, Create), &[each(Sqlite, Create)]),
        line('e', "update", each(Ours, Update), &[each(Sqlite, Update)]),
        line('e', "destroy", each(Ours, Destroy), &[each(Sqlite, Destroy)]),
        line('e', "create", each(Ours, Create), &[each(Floor, Create)]),
        line('e', "update", each(Ours, Update), &[each(Floor, Update)]),
        line('e', "destroy", each(Ours, Destroy), &[each(Floor, Destroy)]),
        line('f', "create, 32 threads, per create", crowd(Ours), &[crowd(Sqlite), each(Sqlite, Create)]),
        line('g', "writes of all kinds", writes(Ours), &[writes(PlainRedb)]),
    ]
}

fn lines_of_many(scale: &Scale) -> Vec<Contest> {
    use Kind::{Ours, Sqlite};
    let at = |kind, measure, sessions| Side { kind, measure, sessions, threads: 1 };
    let usual = |measure| at(Ours, measure, scale.sessions);
    let sweep = |kind, sessions| at(kind, Measure::Sweep(scale.swept), sessions);
    let read = |sessions| at(Ours, Measure::Each(Call::Read), sessions);
    let swept_meanwhile = usual(Measure::CreateTailDuringSweep(scale.swept_meanwhile));
    let read_meanwhile = usual(Measure::ReadTailDuringWrites(4));
    let (more, fewer, largest) = (scale.more, scale.fewer, read(scale.largest));
    vec![
        line('h', "sweep among more / fewer, per expired", sweep(Ours, more), &[sweep(Ours, fewer)]),
        line('h', "sweep, per expired", sweep(Ours, more), &[sweep(Sqlite, more)]),
        line('i', "p99 of create during a sweep / idle", swept_meanwhile, &[usual(Measure::CreateTail)]),
        line('j', "p99 of read while 4 write / idle", read_meanwhile, &[usual(Measure::ReadTail)]),
        line('n', "read among most / fewest sessions", largest, &[read(scale.smallest)]),
        line(
            'o',
            "read among many, cache as it is by default",
            read(scale.more),
            &[at(Kind::Lmdb, Measure::Each(Call::Read), scale.more)],
        ),
    ]
}

fn line(letter: char, operation: &str, ours: Side, peers: &[Side]) -> Contest {
    Contest {
        line: Some(letter),
        operation: operation.to_owned(),
        ours,
        peers: peers.to_vec(),
        throughput: false,
    }
}

/// Contests without a letter: every peer beside our side, single calls, one thread, at one size.
pub fn around(sessions: u64, kinds: &[Kind], calls: &[Call]) -> Vec<Contest> {
    let mut contests = Vec::new();
    for kind in kinds {
        for call in calls {
            let knows = match kind {
                // A kept read transaction does not change writes.
                Kind::LmdbKept => matches!(call, Call::Read | Call::ReadUnknown),
                Kind::Floor | Kind::OursDeferred | Kind::OursTwoPhase => {
                    matches!(call, Call::Create | Call::Update | Call::Destroy)
                }
                _ => true,
            };
            if knows {
                let side = |kind| Side { kind, measure: Measure::Each(*call), sessions, threads: 1 };
                contests.push(Contest {
                    line: None,
                    operation: call.name().to_owned(),
                    ours: side(Kind::Ours),
                    peers: vec![side(*kind)],
                    throughput: false,
                });
            }
        }
    }
    contests
}
