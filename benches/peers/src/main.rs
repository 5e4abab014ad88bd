//! The race of sessile against other ways to store sessions.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml` runs the whole race, with every
//! line at its full size. `-- --quick` takes less than a minute, with smaller sizes and fewer
//! rounds. `-- --full` adds the sizes from 10,000 to 10,000,000. The program prints a table, writes
//! `target/peers.json` and draws charts into `docs/`, or after a partial run into
//! `target/peers-charts/`, all below the current directory.

mod alone;
mod chart;
mod child;
mod contender;
mod contenders;
mod lines;
mod measure;
#[cfg(test)]
mod model;
mod operation;
mod options;
mod race;
mod report;
#[cfg(feature = "servers")]
mod servers;
mod session;
mod subject;
mod touch_age;
#[cfg(feature = "tower")]
mod tower_record;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use contender::Kind;
use lines::{Contest, Mode, Scale};
use operation::Call;
use options::Options;
use race::Race;
use session::Outcome;

/// Every peer, in the order of the run.
const PEERS: &[Kind] = &[
    Kind::Lmdb,
    Kind::LmdbKept,
    Kind::Memory,
    Kind::Sqlite,
    Kind::Floor,
    Kind::PlainRedb,
    Kind::Fjall,
    #[cfg(feature = "tower")]
    Kind::Tower,
    Kind::OursDeferred,
    Kind::OursTwoPhase,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, words)) if first == "--child" => child::run(words),
        _ => Options::parse(&arguments).and_then(|options| run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("the race ended: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    if options.wants_servers() {
        return run_servers(options.mode);
    }
    let began = Instant::now();
    let scale = Scale::of(options.mode);
    let data = Data::new()?;
    describe(options, &scale);

    let mut race = Race::new(scale, options.ours, data.0.clone());
    let mut rows = race.run(&contests(options, &scale))?;
    rows.extend(alone::run(options.ours, &scale, &data.0, |letter| options.wants(Some(letter)))?);

    report::print_table(&rows);
    let (json, charts) = options.places();
    report::write_json(&rows, &json)?;
    chart::draw(&rows, options.ours, &charts)?;
    println!("\n{} and the charts in {} are written.", json.display(), charts.display());
    println!("The race took {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(feature = "servers")]
fn run_servers(mode: Mode) -> Outcome<()> {
    servers::run(mode == Mode::Quick)
}

#[cfg(not(feature = "servers"))]
fn run_servers(_: Mode) -> Outcome<()> {
    Err("`--only servers` needs a build with `--features servers`".into())
}

/// The lettered lines, then the other contests of the mode. The line with the most sessions comes
/// last, so that no other line runs while so much memory is in use.
fn contests(options: &Options, scale: &Scale) -> Vec<Contest> {
    let calls: &[Call] = match options.mode {
        Mode::Quick => &[Call::Read, Call::Create],
        Mode::Usual | Mode::Full => &Call::ALL,
    };
    let (largest, mut all): (Vec<_>, Vec<_>) =
        lines::lines(scale).into_iter().partition(|contest| contest.line == Some('n'));
    // A quick run populates no large store for rows without a letter.
    let (small, usual): (Vec<Kind>, Vec<Kind>) = PEERS.iter().copied().partition(|kind| {
        let has_lines = all.iter().any(|contest| contest.peers.iter().any(|side| side.kind == *kind));
        options.mode == Mode::Quick && !has_lines
    });
    let around = [lines::around(scale.sessions, &usual, calls), lines::around(scale.smallest, &small, calls)];
    for contest in around.into_iter().flatten() {
        if !all.iter().any(|other| other.ours == contest.ours && other.peers.contains(&contest.peers[0])) {
            all.push(contest);
        }
    }
    if options.mode == Mode::Full {
        let calls = [Call::Read, Call::ReadUnknown, Call::Extend, Call::Create];
        for sessions in [10_000, 1_000_000, 10_000_000] {
            let fits = |kind: &Kind| match kind {
                Kind::Floor | Kind::OursDeferred | Kind::OursTwoPhase => false,
                // Its population alone would take longer than the rest of the race.
                #[cfg(feature = "tower")]
                Kind::Tower => sessions <= 1_000_000,
                _ => true,
            };
            let kinds: Vec<Kind> = PEERS.iter().copied().filter(fits).collect();
            all.extend(lines::around(sessions, &kinds, &calls));
        }
    }
    all.extend(largest);
    all.retain(|contest| options.wants(contest.line));
    all
}

fn describe(options: &Options, scale: &Scale) {
    println!(
        "{} alternated rounds; ratio = our time / the peer's, of each pair of rounds: median, least and most.",
        scale.rounds
    );
    println!(
        "In line b the ratio is of throughputs. Of several peers in a line, the fastest has the letter."
    );
    println!(
        "Our extend and read_and_extend are on the disk within a second; those of the peers with a file, at once."
    );
    if options.mode == Mode::Quick {
        println!(
            "Quick: line h sweeps {} among {} and {}, i {}, lines k and m have {} sessions, l {}, n {} against {}.",
            scale.swept,
            scale.more,
            scale.fewer,
            scale.swept_meanwhile,
            scale.opened,
            scale.turned_over,
            scale.largest,
            scale.smallest
        );
    }
    match options.ours {
        Kind::Ours => {}
        kind => println!("{} stands in for the crate: these are no results of the crate.", kind.name()),
    }
}

/// The directory of all stores of this run, removed when the run ends, even with an error.
struct Data(PathBuf);

impl Data {
    fn new() -> Outcome<Self> {
        let directory = Path::new("target/peers-data").join(std::process::id().to_string());
        std::fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        // This fails, and removes nothing, while another run has its stores there.
        let _ = std::fs::remove_dir("target/peers-data");
    }
}
