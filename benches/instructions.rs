//! Counts the instructions of the hot paths and compares them with `instructions.baseline`.
//!
//! `cargo bench --bench instructions`, or with less to build `cargo bench -p sessile-instructions`.
//! Unlike times, instruction counts are the same on a busy machine, so a longer path shows even
//! where times are too noisy. The program starts itself under `valgrind --tool=callgrind`, once for
//! each path and once for the setup alone. One call takes the difference, divided by the number of
//! calls. So nothing depends on the names of functions, on inlining, or on a particular machine.
//!
//! The paths are `read`, `read_and_extend` and `extend` (`extend_lifetime`) of sessions whose
//! records are in memory, with 256 bytes of content; `create_logged`, a `create` with the default
//! durability: encoding, the queue, the log entry and its share of the checkpoints; and `create`,
//! the same with `Durability::Deferred`, which writes nothing before a flush. Valgrind hides the
//! processor's SHA-256 instructions, so the portable code runs, and would dominate every count. So
//! the digest that makes a key of an id has its own line, `key`, and one digest is subtracted from
//! every other line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fmt::Write;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sessile::testing::{ManualClock, RandomSource};
use sessile::{Durability, SessionId, SessionStore, Source};

const SESSIONS: usize = 300;
/// The paths, and how many calls of each are counted.
const OPERATIONS: [(&str, usize); 6] = [
    (KEY, 10_000),
    ("read", 10_000),
    ("read_and_extend", 10_000),
    ("extend", 10_000),
    ("create", 500),
    (LOGGED, 500),
];
const KEY: &str = "key";
const LOGGED: &str = "create_logged";
/// The setup alone, of the paths and of `create_logged`: the same population and durability.
const BEFORE: [&str; 2] = ["nothing", "nothing_logged"];
/// The percentage by which a number may differ from its baseline.
const TOLERANCE: f64 = 5.0;
/// The paths that get no instruction more for what an observer or a feature needs. Runs of one
/// program give equal counts; a change elsewhere moved `read` by 12 through the compiler's choices.
const HELD: [&str; 2] = ["read", "extend"];
const TOLERANCE_OF_HELD: f64 = 1.0;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--counted", operation, folder] => {
            run(operation, Path::new(folder));
            ExitCode::SUCCESS
        }
        ["--move-baseline", reason] if !reason.trim().is_empty() => {
            let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
            std::fs::write(baseline_path(), baseline(&count_all(), &reason)).unwrap();
            println!("benches/instructions.baseline is written; commit it with the change.");
            ExitCode::SUCCESS
        }
        [] => compare(),
        _ => {
            eprintln!("usage: cargo bench --bench instructions");
            eprintln!("       the same with -- --move-baseline 'why the numbers change'");
            ExitCode::FAILURE
        }
    }
}

/// 256 bytes when encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Content {
    name: String,
    roles: Vec<String>,
    visits: u64,
    notes: String,
}

fn content(number: usize) -> Content {
    Content {
        name: format!("user number {number:08}"),
        roles: vec!["reader".into(), "writer".into()],
        visits: number as u64 + 1_000_000,
        notes: "n".repeat(213),
    }
}

/// The same ids in every run: SplitMix64.
#[derive(Debug, Default)]
struct SameIds(AtomicU64);

impl RandomSource for SameIds {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Source> {
        for part in bytes.chunks_mut(8) {
            let step = 0x9e37_79b9_7f4a_7c15;
            let mut drawn = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
            drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            drawn ^= drawn >> 31;
            part.copy_from_slice(drawn.to_le_bytes().split_at(part.len()).0);
        }
        Ok(())
    }
}

/// The counted program: a population, one pass that warms the caches, and the calls of one path.
fn run(operation: &str, folder: &Path) {
    let clock = ManualClock::new();
    let durability = match operation.ends_with("_logged") {
        true => Durability::Immediate,
        false => Durability::Deferred { interval: Duration::from_secs(3_600) },
    };
    let store = SessionStore::<Content>::builder()
        .durability(durability)
        .clock(clock.clone())
        .random_source(SameIds::default())
        .manual_maintenance()
        .open(folder.join("sessions.redb"))
        .unwrap();
    let ids: Vec<SessionId> =
        (0..SESSIONS).map(|number| store.create(content(number)).unwrap().id().clone()).collect();
    for id in &ids {
        assert!(store.read_and_extend(id).unwrap().is_some());
    }
    clock.advance(Duration::from_millis(1));
    let calls =
        OPERATIONS.iter().find(|(name, _)| *name == operation).map_or(0, |(_, calls)| *calls);
    let each = ids.iter().cycle().take(calls);
    match operation {
        KEY => each.for_each(|id| {
            black_box(black_box(id).key());
        }),
        "read" => each.for_each(|id| assert!(black_box(store.read(id).unwrap()).is_some())),
        "read_and_extend" => {
            each.for_each(|id| assert!(black_box(store.read_and_extend(id).unwrap()).is_some()));
        }
        "extend" => each.for_each(|id| assert!(store.extend_lifetime(id).unwrap())),
        "create" | LOGGED => {
            let content = content(SESSIONS);
            (0..calls).for_each(|_| drop(black_box(store.create(content.clone()).unwrap())));
        }
        _ => assert!(BEFORE.contains(&operation)),
    }
    // Closing would write the touches, which belong to none of these paths.
    std::process::exit(0);
}

/// The name of each path and the instructions of one call, without those of the key.
fn count_all() -> Vec<(&'static str, f64)> {
    let [before, before_logged] = BEFORE.map(count);
    let each = |(name, calls): (&'static str, usize)| {
        let before = if name == LOGGED { before_logged } else { before };
        (name, (count(name) as f64 - before as f64) / calls as f64)
    };
    let mut counted: Vec<_> = OPERATIONS.into_iter().map(each).collect();
    if let Some(((_, key), others)) = counted.split_first_mut() {
        others.iter_mut().for_each(|(_, instructions)| *instructions -= *key);
    }
    counted
}

/// The instructions of a whole run.
fn count(operation: &str) -> u64 {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--counted", operation])
        .arg(folder.path())
        // The environment lies on the stack, and its length would shift the stack's alignment.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .output()
        .expect("valgrind must be installed: apt-get install valgrind");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{operation} failed under valgrind:\n{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    collected
        .and_then(|(_, number)| number.trim().parse().ok())
        .expect("callgrind prints the total")
}

/// With the features `tracing` and `metrics`, and no subscriber and recorder, every path may take
/// as many instructions more as another change may cost.
fn tolerance_of(name: &str) -> f64 {
    let is_held = HELD.contains(&name) && !cfg!(any(feature = "tracing", feature = "metrics"));
    if is_held { TOLERANCE_OF_HELD } else { TOLERANCE }
}

fn baseline_path() -> PathBuf {
    // In the crate, or in the small package that runs this file, too.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut files = folders.map(|folder| folder.join("benches/instructions.baseline"));
    files.find(|file| file.exists()).expect("the baseline is beside this file")
}

/// The versions of the tools that the numbers depend on.
fn tools() -> String {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    format!("{}, {}", version(&compiler), version("valgrind"))
}

fn baseline(counted: &[(&str, f64)], reason: &str) -> String {
    let mut text = String::from(
        "# The instructions of one call, counted by `cargo bench --bench instructions`.\n\
         # Those of `key`, the digest of an id, are subtracted from the other lines.\n\
         # A call that takes over 5 % more fails the build, and so does a `read` or an `extend`\n\
         # that takes 1 % more. To move the baseline, give a reason:\n\
         # cargo bench --bench instructions -- --move-baseline 'why'\n",
    );
    writeln!(text, "reason: {reason}\ntools: {}", tools()).unwrap();
    for (name, instructions) in counted {
        writeln!(text, "{name} {instructions:.0}").unwrap();
    }
    text
}

fn compare() -> ExitCode {
    let baseline = std::fs::read_to_string(baseline_path()).unwrap();
    let value = |name: &str| {
        let lines = baseline.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once(' ')).find(|(word, _)| *word == name)
    };
    let (then, now) = (value("tools:").map_or("", |(_, tools)| tools), tools());
    if then != now {
        println!("The baseline was counted with {then}; this is {now}.");
        println!(
            "The numbers depend on both versions, and are compared all the same, to miss no change;"
        );
        println!(
            "if nothing else has changed, move the baseline and give the new version as the reason.\n"
        );
    }
    println!("{:16} {:>10} {:>10} {:>8}", "one call of", "baseline", "now", "change");
    let (mut grown, mut shrunk) = (Vec::new(), false);
    for (name, instructions) in count_all() {
        let Some(Ok(before)) = value(name).map(|(_, number)| number.trim().parse::<f64>()) else {
            grown.push(format!("{name} has no baseline"));
            continue;
        };
        let change = (instructions / before - 1.0) * 100.0;
        println!("{name:16} {before:>10.0} {instructions:>10.0} {change:>+7.2}%");
        let most = tolerance_of(name);
        shrunk |= change < -most;
        if change > most {
            grown.push(format!("{name} takes {change:.1} % more instructions than its baseline"));
        }
    }
    if grown.is_empty() && !shrunk {
        return ExitCode::SUCCESS;
    }
    for line in &grown {
        println!("\n{line}.");
    }
    if shrunk {
        println!("\nA path became shorter. Move the baseline to keep this gain.");
    }
    println!("\nTo move the baseline (the reason is stored in benches/instructions.baseline):");
    println!("cargo bench --bench instructions -- --move-baseline 'why'");
    if grown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
