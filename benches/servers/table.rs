//! The rows of what was measured, as Markdown.

use crate::plain::{Kind, PlainCall};
use crate::sessions::SessionCall;
use crate::slice::Slice;
use crate::{Call, THREADS};

pub(crate) const HEAD: &str = "\
| engine | call | median, µs | 99 %, µs | to a round trip | to the peer | the peer | \
16 threads, calls a second | to the peer's |\n|---|---|---|---|---|---|---|---|---|";
const _: () = assert!(THREADS == 16, "the head names the number");

/// A call, and what each round has shown of it.
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

/// What a bare client does for the same end. In a file that is one write, and nothing for what a
/// call finds in memory or leaves there.
const fn peer_of(kind: Kind, call: SessionCall) -> Option<PlainCall> {
    use SessionCall as Of;
    match (kind, call) {
        (Kind::File, Of::CreateForUser | Of::Update | Of::Destroy) => Some(PlainCall::Insert),
        (Kind::File, _) => None,
        (_, Of::Read | Of::SessionsOf) => Some(PlainCall::Read),
        (_, Of::CreateForUser) => Some(PlainCall::Insert),
        (_, Of::ReadAndExtend | Of::ExtendLifetime | Of::Update | Of::Destroy) => {
            Some(PlainCall::Update)
        }
    }
}

pub(crate) fn print(kind: Kind, rows: &[Measured]) {
    let find = |call| rows.iter().find(|row| row.call == Call::Plain(call));
    let micros = |slice: &Slice| slice.median.as_secs_f64() * 1e6;
    for row in rows {
        let (name, peer) = match row.call {
            Call::Session(call) => (call.name(), peer_of(kind, call)),
            Call::Plain(call) => (kind.name_of(call), None),
        };
        let peer_row = peer.and_then(find);
        let floor = find(PlainCall::RoundTrip).filter(|floor| floor.call != row.call);
        let to_floor = floor.map(|floor| ratio(&row.alone, &floor.alone, micros));
        let to_peer = peer_row.map(|peer| ratio(&row.alone, &peer.alone, micros));
        let throughput =
            peer_row.map(|peer| ratio(&row.together, &peer.together, |slice| slice.calls_a_second));
        println!(
            "| {} | {name} | {:.1} | {:.1} | {} | {} | {} | {:.0} | {} |",
            kind.name(),
            median(row.alone.iter().map(micros)),
            median(row.alone.iter().map(|slice| slice.p99.as_secs_f64() * 1e6)),
            to_floor.unwrap_or_default(),
            to_peer.unwrap_or_default(),
            peer_row.and(peer).map(|peer| kind.name_of(peer)).unwrap_or_default(),
            median(row.together.iter().map(|slice| slice.calls_a_second)),
            throughput.unwrap_or_default(),
        );
    }
}

/// The ratio of what two calls showed in the same round: the median, and the least and the most.
fn ratio(ours: &[Slice], theirs: &[Slice], of: impl Fn(&Slice) -> f64) -> String {
    let ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(our, their)| of(our) / of(their)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2}–{most:.2})", median(ratios.into_iter()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
