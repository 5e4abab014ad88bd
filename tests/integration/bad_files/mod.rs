//! Damaged files: each is opened, read, listed, counted, swept and written to. Every answer must be
//! the right one or a clear error.
//!
//! A child process makes the calls, so that an abort is counted too. `cargo test` runs a sample. A
//! cut at every length and a flipped bit in every byte, or in every eighth with an 8 instead of the
//! 1:
//! `SESSILE_BAD_FILES=1 cargo test --release --test integration bad_files -- --nocapture`
//!
//! A run without verification counts the wrong answers that verification prevents.

mod damage;
mod findings;
mod sample;

use std::fmt::{self, Display};
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use self::damage::Damage;
use self::sample::Sample;
use crate::child;
use crate::crash::share;

/// Tells a child process the number of its first damage.
const BEGIN: &str = "SESSILE_TEST_BAD_FILES_FROM";
/// The prefix of each line that a child prints for its parent.
const SAYS: &str = "bad file: ";
/// More than any damage takes on a loaded machine. A child that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The results of the damages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    files: u64,
    errors: u64,
    no_effect: u64,
    wrong: u64,
    panics: u64,
    aborts: u64,
}

impl Counts {
    const fn broken_promises(&self) -> u64 {
        self.wrong + self.panics + self.aborts
    }
}

struct Table([Counts; 6]);

impl Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "| damage | files | clear error | no effect | wrong | panic | abort |"
        )?;
        writeln!(formatter, "|---|---|---|---|---|---|---|")?;
        for (kind, c) in Damage::KINDS.iter().zip(&self.0) {
            let numbers = [c.files, c.errors, c.no_effect, c.wrong, c.panics, c.aborts];
            let cells = numbers.map(|number| number.to_string()).join(" | ");
            writeln!(formatter, "| {kind} | {cells} |")?;
        }
        Ok(())
    }
}

/// The distance between the tried bytes; 0 for a sample.
fn stride() -> usize {
    child::number("SESSILE_BAD_FILES", 0) as usize
}

/// The child's part: tries one damage after the other, from a number on, and announces each first.
/// An ordinary run tries a share of them.
fn question_from(begin: usize, verify: bool) {
    let folder = child::fast_folder();
    let sample = Sample::new(folder.path());
    let damages = Damage::all(&sample, stride());
    let begin = begin.next_multiple_of(share() as usize);
    for (number, damage) in damages.iter().enumerate().skip(begin).step_by(share() as usize) {
        println!("{SAYS}{number} {} began", damage.kind());
        let path = folder.path().join("damaged.redb");
        damage.write(&sample, &path);
        let ask = AssertUnwindSafe(|| sample.question(&path, verify));
        let verdict = match catch_unwind(ask) {
            Err(_) => "panic",
            Ok(findings) => match (findings.wrong, findings.errors) {
                (Some(what), _) => {
                    if verify {
                        println!("{damage:?}: {what}");
                    }
                    "wrong"
                }
                (None, 0) => "same",
                (None, _) => "error",
            },
        };
        println!("{SAYS}{number} {} {verdict}", damage.kind());
        std::fs::remove_file(&path).unwrap();
    }
    println!("{SAYS}0 0 over");
}

/// The parent's part: counts the results of children, and starts another where one has died.
fn campaign(test: &str, verify: bool) -> Table {
    if let Ok(begin) = std::env::var(BEGIN) {
        question_from(begin.parse().unwrap(), verify);
        // The output of a child after this is not for its parent.
        std::process::exit(0);
    }
    let mut table = Table(Default::default());
    let mut begin = 0;
    while let Some((died_at, kind)) = one_child(test, begin, &mut table) {
        table.0[kind].aborts += 1;
        begin = died_at + 1;
    }
    println!("verified on opening: {verify}\n{table}");
    table
}

/// Makes the allocation of a damaged length fail, so that it cannot use up the machine's memory.
/// Without a shell there is no limit.
fn limited(child: Command) -> Command {
    if cfg!(not(unix)) {
        return child;
    }
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 16000000; exec \"$0\" \"$@\""]).arg(child.get_program());
    limited.args(child.get_args());
    limited
}

/// Runs a child to its end, and returns the damage at which it died, if it did.
fn one_child(test: &str, begin: usize, table: &mut Table) -> Option<(usize, usize)> {
    let mut child = limited(child::running(test));
    child.env(BEGIN, begin.to_string());
    child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    let (send, receive) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::Builder::new()
        .spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)))
        .unwrap();
    let mut at = None;
    let mut over = false;
    while let Ok(line) = receive.recv_timeout(PATIENCE) {
        let Some((_, said)) = line.split_once(SAYS) else {
            println!("{line}");
            continue;
        };
        let words: Vec<&str> = said.split(' ').collect();
        let (number, kind) = (words[0].parse().unwrap(), words[1].parse::<usize>().unwrap());
        let counts = &mut table.0[kind];
        match words[2] {
            "began" => {
                counts.files += 1;
                at = Some((number, kind));
                continue;
            }
            "same" => counts.no_effect += 1,
            "error" => counts.errors += 1,
            "wrong" => counts.wrong += 1,
            "panic" => counts.panics += 1,
            _ => over = true,
        }
        at = None;
    }
    let _ = child.kill();
    child.wait().unwrap();
    let _ = reader.join().unwrap();
    assert!(over || at.is_some(), "the child said nothing of its end");
    at
}

#[test]
fn a_damaged_file_is_a_clear_error_or_has_no_effect() {
    let table = campaign("bad_files::a_damaged_file_is_a_clear_error_or_has_no_effect", true);
    for (kind, counts) in Damage::KINDS.iter().zip(&table.0) {
        assert_eq!(counts.broken_promises(), 0, "{kind}: {counts:?}");
        assert!(counts.errors > 0, "{kind}: nothing was noticed in {counts:?}");
    }
    assert_eq!(table.0[0].no_effect + table.0[5].no_effect, 0, "cut or foreign, and opened");
}

/// The guarantees that remain without verification, and the proof that the test above can fail.
#[test]
fn without_verification_only_cut_and_foreign_files_are_sure_to_be_refused() {
    let test = "bad_files::without_verification_only_cut_and_foreign_files_are_sure_to_be_refused";
    let table = campaign(test, false);
    let [cut, flipped, zeroed, swapped, _, foreign] = table.0;
    for refused in [cut, foreign] {
        assert_eq!(refused.errors, refused.files, "{refused:?}");
    }
    // A flipped bit in a record is still detected, by the record's own checksum.
    assert!(flipped.broken_promises() * 50 < flipped.files, "{flipped:?}");
    let [zeroed, swapped] = [zeroed, swapped].map(|counts| counts.broken_promises());
    assert!(swapped > 0, "verification was not needed");
    // In a debug build redb's own assertions detect every empty page.
    assert_eq!(zeroed > 0, !cfg!(debug_assertions), "{zeroed}");
}
