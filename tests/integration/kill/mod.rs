//! A process under load from many threads is killed at a random moment. Every change that it
//! acknowledged to its parent must be in the file, with which the next process continues.
//!
//! `cargo test` does a few rounds. Hundreds:
//! `SESSILE_KILL_ROUNDS=500 cargo test --release --test integration kill:: -- --nocapture`.
//! `SESSILE_SEED` repeats the moments of a run, as far as moments can be repeated.

mod told;
mod work;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use sessile::{Durability, RedbEngine, SessionStore};

use self::told::{Found, Told};
use crate::child::{self, Numbers};

/// Names the file in the environment of a child process.
const FILE: &str = "SESSILE_TEST_KILL_FILE";
const SAYS: &str = "kill: ";
const THREADS: u64 = 6;
/// The sessions of each thread.
const SLOTS: u64 = 4;

/// A session of the child: thread and slot.
type Place = (u64, u64);
/// A session's content: its place, and a number that is unique to a change.
type Content = (Place, u64);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Create,
    Update,
    Modify,
    Regenerate,
    Destroy,
    DestroyAll,
}

impl Verb {
    const ALL: [Self; 6] = [
        Self::Create,
        Self::Update,
        Self::Modify,
        Self::Regenerate,
        Self::Destroy,
        Self::DestroyAll,
    ];

    fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|verb| format!("{verb:?}") == word).unwrap()
    }
}

fn open(path: &Path, round: u64) -> sessile::Result<SessionStore<Content>> {
    let durability = match round % 2 {
        0 => Durability::Immediate,
        _ => Durability::TwoPhase,
    };
    let interval = Duration::from_millis(5);
    let builder = SessionStore::builder().durability(durability);
    builder.touch_interval(interval).sweep_interval(interval).open(path)
}

/// Starts a child on the file, kills it, and reads its output to the end.
fn kill_one(path: &Path, round: u64, numbers: &mut Numbers, told: &mut Told) {
    let test = "kill::what_was_acknowledged_survives_sigkill_and_the_next_process_goes_on";
    let mut command = child::running(test);
    let mut child = command.env(FILE, path).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut text = format!("{round} {}\n", numbers.next());
    for ((thread, slot), (id, number)) in &told.slots {
        text += &format!("{thread} {slot} {number} {}\n", id.encode());
    }
    input.write_all((text + "\n").as_bytes()).unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (began, has_begun) = channel();
    let listener = thread::Builder::new().spawn(move || {
        let (mut said, mut line) = (String::new(), String::new());
        while output.read_line(&mut line).unwrap() > 0 {
            if line.contains(SAYS) {
                // From the second line on no thread receives this.
                let _ = began.send(());
            }
            said += &line;
            line.clear();
        }
        said
    });
    // Some are killed while they open the file, most of them at work.
    let millis = match numbers.below(5) {
        0 => numbers.below(30),
        _ => {
            // However long this machine takes to start a process.
            let _ = has_begun.recv_timeout(Duration::from_secs(60));
            numbers.below(400)
        }
    };
    thread::sleep(Duration::from_millis(millis));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    let said = listener.unwrap().join().unwrap();
    // A line that the kill has cut short does not count.
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    whole.lines().for_each(|line| told.listen(line));
}

fn look(path: &Path, round: u64, told: &mut Told) {
    let store = open(path, round).unwrap();
    let mut found: HashMap<Place, Vec<Found>> = HashMap::new();
    store
        .for_each(|info, (place, number)| {
            found.entry(place).or_default().push(Found { key: info.key(), number });
        })
        .unwrap();
    for place in (0..THREADS).flat_map(|thread| (0..SLOTS).map(move |slot| (thread, slot))) {
        told.compare(&store, place, found.get(&place).map_or(&[], Vec::as_slice));
    }
    told.begun.clear();
    assert_eq!(store.len().unwrap(), told.slots.len() as u64);
    store.close().unwrap();
    let engine = RedbEngine::open(path).unwrap();
    assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
}

#[test]
fn what_was_acknowledged_survives_sigkill_and_the_next_process_goes_on() {
    if let Some(path) = std::env::var_os(FILE) {
        work::work(Path::new(&path));
    }
    let rounds = child::number("SESSILE_KILL_ROUNDS", 12);
    let seed = child::number("SESSILE_SEED", u64::from(std::process::id()));
    println!("SESSILE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let (mut numbers, mut told) = (Numbers(seed), Told::default());
    for round in 0..rounds {
        kill_one(&path, round, &mut numbers, &mut told);
        look(&path, round, &mut told);
    }
    println!("{} operations were acknowledged before {rounds} kills", told.acknowledged);
    assert!(told.acknowledged >= 20 * rounds, "hardly anything was under way");
}
