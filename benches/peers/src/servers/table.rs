//! Prints the measurements as rows of a Markdown table.

use crate::servers::plain::{Kind, PlainCall};
use crate::servers::sessions::SessionCall;
use crate::servers::slice::Slice;
use crate::servers::tower::TowerCall;
use crate::servers::{Call, THREADS};

pub(crate) const HEAD: &str = "\
| engine | call | median, µs | 99 %, µs | to a round trip | to the peer | the peer | to tower-sessions | \
32 threads, calls a second | to the peer's | to tower-sessions' |\n|---|---|---|---|---|---|---|---|---|---|---|";
const _: () = assert!(THREADS == 32, "the head names the number");

/// A call, and its times in each round.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) call: Call,
    /// From one thread.
    pub(crate) alone: Vec<Slice>,
    /// From many threads.
    pub(crate) together: Vec<Slice>,
}

impl Measured {
    pub(crate) const fn new(call: Call) -> Self {
        Self { call, alone: Vec::new(), together: Vec::new() }
    }
}

/// The bare client's call for the same purpose. In a file this is one write, or nothing if the
/// crate's call stays in memory.
const fn peer_of(kind: Kind, call: SessionCall) -> Option<PlainCall> {
    use SessionCall as Of;
    match (kind, call) {
        (Kind::File, Of::Create | Of::CreateForUser | Of::Update | Of::Destroy) => Some(PlainCall::Insert),
        (Kind::File, _) => None,
        (_, Of::Read | Of::ReadAndExtend | Of::ExtendLifetime | Of::SessionsOf) => Some(PlainCall::Read),
        (_, Of::Create | Of::CreateForUser) => Some(PlainCall::Insert),
        (_, Of::ReadAndExtendWritten | Of::ExtendLifetimeWritten | Of::Update | Of::Destroy) => {
            Some(PlainCall::Update)
        }
    }
}

/// tower-sessions' call for the same purpose.
const fn tower_of(call: SessionCall) -> Option<TowerCall> {
    use SessionCall as Of;
    match call {
        Of::Read => Some(TowerCall::Load),
        Of::ReadAndExtend | Of::ExtendLifetime | Of::ReadAndExtendWritten | Of::ExtendLifetimeWritten => {
            Some(TowerCall::LoadAndSave)
        }
        Of::Create | Of::CreateForUser => Some(TowerCall::Create),
        Of::Update => Some(TowerCall::Save),
        Of::Destroy => Some(TowerCall::Delete),
        Of::SessionsOf => None,
    }
}

pub(crate) fn print(kind: Kind, rows: &[Measured]) {
    let find = |call| rows.iter().find(|row| row.call == call);
    let micros = |slice: &Slice| slice.median.as_secs_f64() * 1e6;
    let rate = |slice: &Slice| slice.calls_a_second;
    for row in rows {
        let (name, peer, tower) = match row.call {
            Call::Session(call) => (call.name(), peer_of(kind, call), tower_of(call)),
            Call::Plain(call) => (kind.name_of(call), None, None),
            Call::Tower(call) => (call.name(), None, None),
        };
        let peer_name = peer.map(|peer| kind.name_of(peer)).unwrap_or_default();
        let peer = peer.and_then(|call| find(Call::Plain(call)));
        let tower = tower.and_then(|call| find(Call::Tower(call)));
        let floor = find(Call::Plain(PlainCall::RoundTrip)).filter(|floor| floor.call != row.call);
        let alone =
            |to: Option<&Measured>| to.map(|to| ratio(&row.alone, &to.alone, micros)).unwrap_or_default();
        let together =
            |to: Option<&Measured>| to.map(|to| ratio(&row.together, &to.together, rate)).unwrap_or_default();
        println!(
            "| {} | {name} | {:.1} | {:.1} | {} | {} | {peer_name} | {} | {:.0} | {} | {} |",
            kind.name(),
            median(row.alone.iter().map(micros)),
            median(row.alone.iter().map(|slice| slice.p99.as_secs_f64() * 1e6)),
            alone(floor),
            alone(peer),
            alone(tower),
            median(row.together.iter().map(rate)),
            together(peer),
            together(tower),
        );
    }
}

/// The ratio of two calls' times in the same round: the median, and the least and the most.
fn ratio(ours: &[Slice], theirs: &[Slice], of: impl Fn(&Slice) -> f64) -> String {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| of(our) / of(their)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2}–{most:.2})", median(ratios.into_iter()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
