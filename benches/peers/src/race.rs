//! Runs the contests: opens and populates the sides, times them in alternating rounds, and computes
//! medians and spreads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::contender::Kind;
use crate::lines::{Contest, Scale, Side};
use crate::measure::Pace;
use crate::report::Row;
use crate::session::Outcome;
use crate::subject::Subject;

/// A race under way, with the open sides.
pub struct Race {
    pub scale: Scale,
    /// Our side: the crate, or a peer that stands in for it.
    pub ours: Kind,
    /// The folder of the stores.
    pub data: PathBuf,
    subjects: BTreeMap<(Kind, u64), Subject>,
    began: Instant,
}

/// All times of one side, one for each round.
struct Timed {
    side: Side,
    rounds: Vec<f64>,
}

impl Race {
    pub fn new(scale: Scale, ours: Kind, data: PathBuf) -> Self {
        Self { scale, ours, data, subjects: BTreeMap::new(), began: Instant::now() }
    }

    /// Runs all contests in order. After a side's last contest it is closed and its files removed.
    pub fn run(&mut self, contests: &[Contest]) -> Outcome<Vec<Row>> {
        let contests: Vec<Contest> = contests.iter().map(|contest| self.with_our_side(contest)).collect();
        let mut rows: Vec<Row> = Vec::new();
        for (place, contest) in contests.iter().enumerate() {
            for row in self.contest(contest)? {
                eprintln!("{:4.0} s {}", self.began.elapsed().as_secs_f64(), row.line_of_text());
                rows.push(row);
            }
            let later = contests.get(place + 1..).unwrap_or_default();
            self.close_unless(|kind, sessions| {
                later.iter().flat_map(sides).any(|side| (side.kind, side.sessions) == (kind, sessions))
            })?;
        }
        Ok(rows)
    }

    /// The contest with the crate or its stand-in as our side.
    fn with_our_side(&self, contest: &Contest) -> Contest {
        let mut contest = contest.clone();
        for side in std::iter::once(&mut contest.ours).chain(&mut contest.peers) {
            if side.kind == Kind::Ours {
                side.kind = self.ours;
            }
        }
        contest
    }

    fn contest(&mut self, contest: &Contest) -> Outcome<Vec<Row>> {
        let all: Vec<Side> = sides(contest).collect();
        let (there, new): (Vec<Side>, Vec<Side>) =
            all.iter().partition(|side| self.subjects.contains_key(&(side.kind, side.sessions)));
        for side in &new {
            self.open(side.kind, side.sessions)?;
        }
        if !new.is_empty() {
            for side in &there {
                bring_back(&self.directory(side.kind, side.sessions))?;
            }
        }
        for side in &all {
            self.subject(side)?.store.settle()?;
        }
        let short =
            Pace { read: self.scale.pace.read / 4, write: self.scale.pace.write / 4, ..self.scale.pace };
        let mut timed: Vec<Timed> =
            all.iter().map(|side| Timed { side: *side, rounds: Vec::new() }).collect();
        for timed in &timed {
            // The first calls after the population fill the caches for every later call.
            if !timed.side.measure.is_long() {
                self.measure(&timed.side, short)?;
            }
        }
        for _ in 0..self.scale.rounds {
            for timed in &mut timed {
                let time = self.measure(&timed.side, self.scale.pace)?;
                timed.rounds.push(time);
            }
        }
        let ours = timed.remove(0);
        Ok(rows(contest, &ours, &timed))
    }

    fn measure(&self, side: &Side, pace: Pace) -> Outcome<f64> {
        side.measure.run(self.subject(side)?, side.threads, pace)
    }

    fn subject(&self, side: &Side) -> Outcome<&Subject> {
        Ok(self.subjects.get(&(side.kind, side.sessions)).ok_or("the side is not open")?)
    }

    fn open(&mut self, kind: Kind, sessions: u64) -> Outcome<()> {
        if !self.subjects.contains_key(&(kind, sessions)) {
            let store = kind.open(&self.directory(kind, sessions))?;
            self.subjects.insert((kind, sessions), Subject::new(kind, store, sessions)?);
        }
        Ok(())
    }

    fn directory(&self, kind: Kind, sessions: u64) -> PathBuf {
        self.data.join(format!("{}-{sessions}", kind.word()))
    }

    fn close_unless(&mut self, needed: impl Fn(Kind, u64) -> bool) -> Outcome<()> {
        let ended: Vec<_> =
            self.subjects.keys().copied().filter(|(kind, sessions)| !needed(*kind, *sessions)).collect();
        for (kind, sessions) in ended {
            if let Some(subject) = self.subjects.remove(&(kind, sessions)) {
                subject.store.close()?;
                std::fs::remove_dir_all(self.directory(kind, sessions))?;
            }
        }
        Ok(())
    }
}

/// Reads the files of a side once. Populating another side may have pushed them out of the system's
/// page cache, which holds the newly populated files.
fn bring_back(directory: &Path) -> Outcome<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => bring_back(&entry.path())?,
            false => drop(std::io::copy(&mut std::fs::File::open(entry.path())?, &mut std::io::sink())?),
        }
    }
    Ok(())
}

fn sides(contest: &Contest) -> impl Iterator<Item = Side> {
    std::iter::once(contest.ours).chain(contest.peers.iter().copied())
}

/// One row for each peer; the fastest peer's carries the letter.
fn rows(contest: &Contest, ours: &Timed, peers: &[Timed]) -> Vec<Row> {
    let fastest =
        (0..peers.len()).min_by(|a, b| median(&peers[*a].rounds).total_cmp(&median(&peers[*b].rounds)));
    let row = |(place, peer): (usize, &Timed)| {
        let ratios: Vec<f64> = match contest.throughput {
            true => pairs(&peer.rounds, &ours.rounds),
            false => pairs(&ours.rounds, &peer.rounds),
        };
        let spread = Spread::of(&ratios);
        Row {
            operation: contest.operation.clone(),
            sessions: contest.ours.sessions,
            threads: contest.ours.threads,
            ours_ns: Some(median(&ours.rounds)),
            peer: Some(side_name(contest, &peer.side)),
            peer_ns: Some(median(&peer.rounds)),
            ratio: Some(spread.median),
            ratio_min: Some(spread.least),
            ratio_max: Some(spread.most),
            line: contest.line.filter(|_| fastest == Some(place)),
        }
    };
    peers.iter().enumerate().map(row).collect()
}

/// The peer's name, with everything that differs from our side.
fn side_name(contest: &Contest, side: &Side) -> String {
    let mut name = side.kind.name().to_owned();
    if side.threads != contest.ours.threads {
        name += if side.threads == 1 { ", one thread" } else { ", more threads" };
    }
    if side.sessions != contest.ours.sessions {
        name += &format!(", {} sessions", side.sessions);
    }
    name
}

fn pairs(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}

/// The median of some values, the least and the most.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Self {
        Self {
            median: median(values),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// The median; of an even number of values, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_and_a_spread_has_the_ends() {
        let spread = Spread::of(&[5.0, 1.0, 3.0]);
        assert_eq!((spread.median, spread.least, spread.most), (3.0, 1.0, 5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
