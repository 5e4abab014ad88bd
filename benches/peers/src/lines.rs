//! The lines of the race, in one place: what is measured, on how many sessions, against whom.
//!
//! Every line is a ratio of our time to the peer's, so less is better, except line b, where it is our throughput
//! with two threads over that with one, so more is better. Where several sides stand on the right, all are measured
//! and the letter goes to the fastest of them.

use std::time::Duration;

use crate::contender::Kind;
use crate::measure::{Measure, Pace};
use crate::operation::Call;

/// How large the race is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Quick,
    Usual,
    Full,
}

/// The numbers that a mode stands for.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub mode: Mode,
    pub rounds: usize,
    pub pace: Pace,
    /// The sessions of every line for which nothing else is said.
    pub sessions: u64,
    /// Line h sweeps so many expired sessions among the fewer and among the more.
    pub swept: u64,
    pub fewer: u64,
    pub more: u64,
    /// Line i sweeps so many meanwhile.
    pub swept_meanwhile: u64,
    /// Lines k and m.
    pub opened: u64,
    /// Line l.
    pub turned_over: u64,
    /// Line n compares these two.
    pub smallest: u64,
    pub largest: u64,
}

impl Scale {
    pub fn of(mode: Mode) -> Self {
        let milliseconds = Duration::from_millis;
        let usual = Self {
            mode,
            rounds: 7,
            pace: Pace {
                read: milliseconds(200),
                write: milliseconds(300),
                tail: milliseconds(2000),
                tail_creates: 500,
            },
            sessions: 100_000,
            swept: 10_000,
            fewer: 100_000,
            more: 1_000_000,
            swept_meanwhile: 100_000,
            opened: 1_000_000,
            turned_over: 20_000,
            smallest: 10_000,
            largest: 10_000_000,
        };
        match mode {
            Mode::Usual | Mode::Full => usual,
            Mode::Quick => Self {
                rounds: 3,
                pace: Pace { read: milliseconds(30), write: milliseconds(50), tail: milliseconds(300), tail_creates: 200 },
                swept: 1_000,
                fewer: 10_000,
                more: 100_000,
                opened: 100_000,
                turned_over: 2_000,
                largest: 100_000,
                ..usual
            },
        }
    }
}

/// One side of a contest: who does what, on how many sessions, with how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    pub kind: Kind,
    pub measure: Measure,
    pub sessions: u64,
    pub threads: usize,
}

/// One contest: our side, and the sides it is compared with.
#[derive(Clone, Debug)]
pub struct Contest {
    pub line: Option<char>,
    pub operation: String,
    pub ours: Side,
    pub peers: Vec<Side>,
    /// Set where the ratio is one of throughputs and not of times.
    pub throughput: bool,
}

/// What is measured in processes of their own and compared with nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    OpenClean,
    OpenAfterKill,
    FileSize,
    Memory,
}

/// The lines that stand alone: letter, words, measurement and number of sessions.
pub fn lines_alone(scale: &Scale) -> [(char, &'static str, Alone, u64); 4] {
    [
        ('k', "open after a clean close, seconds in ns", Alone::OpenClean, scale.opened),
        ('k', "open after SIGKILL, seconds in ns", Alone::OpenAfterKill, scale.opened),
        ('l', "file after ten turnovers / bytes of records", Alone::FileSize, scale.turned_over),
        ('m', "resident memory less cache, bytes per session", Alone::Memory, scale.opened),
    ]
}

/// The lines that are contests, a to j and n.
pub fn lines(scale: &Scale) -> Vec<Contest> {
    use Call::{Create, Destroy, Extend, Read, ReadAndExtend, ReadUnknown, Update};
    use Kind::{Floor, Lmdb, LmdbKept, Memory, Ours, PlainRedb, Sqlite};
    use Measure::{CreateTail, CreateTailDuringSweep, Each, ReadTail, ReadTailDuringWrites, Sweep, Writes};

    let at = |kind, measure, sessions, threads| Side { kind, measure, sessions, threads };
    let one = |kind, measure| at(kind, measure, scale.sessions, 1);
    let (fewer, more) = (scale.fewer, scale.more);
    let (swept, meanwhile) = (Sweep(scale.swept), CreateTailDuringSweep(scale.swept_meanwhile));
    let throughput = |contest| Contest { throughput: true, ..contest };

    vec![
        line('a', "read", one(Ours, Each(Read)), &[one(Lmdb, Each(Read)), one(LmdbKept, Each(Read))]),
        line('a', "read", one(Ours, Each(Read)), &[one(Memory, Each(Read))]),
        throughput(line(
            'b',
            "read, two threads / one (throughput)",
            at(Ours, Each(Read), scale.sessions, 2),
            &[one(Ours, Each(Read))],
        )),
        line('c', "read of an unknown id / of a hit", one(Ours, Each(ReadUnknown)), &[one(Ours, Each(Read))]),
        line('d', "extend", one(Ours, Each(Extend)), &[one(Sqlite, Each(Extend))]),
        line('d', "read_and_extend / read", one(Ours, Each(ReadAndExtend)), &[one(Ours, Each(Read))]),
        line('e', "create", one(Ours, Each(Create)), &[one(Sqlite, Each(Create))]),
        line('e', "update", one(Ours, Each(Update)), &[one(Sqlite, Each(Update))]),
        line('e', "destroy", one(Ours, Each(Destroy)), &[one(Sqlite, Each(Destroy))]),
        line('e', "create", one(Ours, Each(Create)), &[one(Floor, Each(Create))]),
        line('e', "update", one(Ours, Each(Update)), &[one(Floor, Each(Update))]),
        line('e', "destroy", one(Ours, Each(Destroy)), &[one(Floor, Each(Destroy))]),
        line(
            'f',
            "create, 32 threads, per create",
            at(Ours, Each(Create), scale.sessions, 32),
            &[at(Sqlite, Each(Create), scale.sessions, 32), one(Sqlite, Each(Create))],
        ),
        line('g', "writes of all kinds", one(Ours, Writes), &[one(PlainRedb, Writes)]),
        line('h', "sweep among more / fewer, per expired", at(Ours, swept, more, 1), &[at(Ours, swept, fewer, 1)]),
        line('h', "sweep, per expired", at(Ours, swept, more, 1), &[at(Sqlite, swept, more, 1)]),
        line('i', "p99 of create during a sweep / idle", one(Ours, meanwhile), &[one(Ours, CreateTail)]),
        line('j', "p99 of read while 4 write / idle", one(Ours, ReadTailDuringWrites(4)), &[one(Ours, ReadTail)]),
        line(
            'n',
            "read among most / fewest sessions",
            at(Ours, Each(Read), scale.largest, 1),
            &[at(Ours, Each(Read), scale.smallest, 1)],
        ),
    ]
}

fn line(letter: char, operation: &str, ours: Side, peers: &[Side]) -> Contest {
    Contest { line: Some(letter), operation: operation.to_owned(), ours, peers: peers.to_vec(), throughput: false }
}

/// Contests without a letter, which show every peer beside us: the plain calls, one thread, at one size.
pub fn around(sessions: u64, kinds: &[Kind], calls: &[Call]) -> Vec<Contest> {
    let mut contests = Vec::new();
    for kind in kinds {
        for call in calls {
            let knows = match kind {
                // A kept transaction changes nothing about writes.
                Kind::LmdbKept => matches!(call, Call::Read | Call::ReadUnknown),
                Kind::Floor => matches!(call, Call::Create | Call::Update | Call::Destroy),
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
