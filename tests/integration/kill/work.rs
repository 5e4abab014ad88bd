//! The process to be killed.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sessile::{SessionId, SessionOptions, SessionStore};

use super::{Content, Place, SAYS, SLOTS, THREADS, Verb, open};
use crate::child::Numbers;

/// The known session of a place: its id and its latest number.
type Slot = Option<(SessionId, u64)>;

/// Prints one line, whole or not at all, while the parent reads.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{SAYS}{line}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

/// The child's part: works until it is killed. Its input lists the sessions in the file.
pub(super) fn work(path: &Path) -> ! {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let (round, seed) = first.split_once(' ').unwrap();
    let (round, seed): (u64, u64) = (round.parse().unwrap(), seed.parse().unwrap());
    let mut slots: HashMap<Place, (SessionId, u64)> = HashMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let [thread, slot, number] = [0, 1, 2].map(|at| words[at].parse().unwrap());
        slots.insert((thread, slot), (SessionId::parse(words[3]).unwrap(), number));
    }
    let store = open(path, round).unwrap();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (store, slots) = (&store, &slots);
            scope.spawn(move || work_in_thread(store, number, slots, Numbers(seed ^ number)));
        }
    });
    unreachable!("the threads work for ever");
}

fn work_in_thread(
    store: &SessionStore<Content>,
    thread: u64,
    known: &HashMap<Place, (SessionId, u64)>,
    mut numbers: Numbers,
) -> ! {
    let mut slots: Vec<Slot> = (0..SLOTS).map(|slot| known.get(&(thread, slot)).cloned()).collect();
    let latest = slots.iter().flatten().map(|(_, number)| *number).max();
    let mut number = latest.unwrap_or(0) + 1_000_000 * numbers.below(1_000_000);
    loop {
        number += 1;
        let slot = numbers.below(SLOTS);
        let verb = match (&slots[slot as usize], numbers.below(20)) {
            (None, _) => Verb::Create,
            (Some(_), 0..6) => Verb::Update,
            (Some(_), 6..12) => Verb::Modify,
            (Some(_), 12..16) => Verb::Regenerate,
            (Some(_), 16..19) => Verb::Destroy,
            _ => Verb::DestroyAll,
        };
        say(&format!("began {thread} {slot} {verb:?} {number}"));
        let content = ((thread, slot), number);
        let id = carry_out(store, verb, content, &slots[slot as usize]);
        if verb == Verb::DestroyAll {
            slots.fill(None);
        } else {
            slots[slot as usize] = id.clone().map(|id| (id, number));
        }
        let shown = id.map_or_else(|| "none".into(), |id| id.encode());
        say(&format!("ended {thread} {slot} {verb:?} {number} {shown}"));
        // Sessions that expire at once keep the sweeps busy; no check expects them.
        if number.is_multiple_of(8) {
            store
                .create_with(content, &SessionOptions::new().inactivity(Duration::from_millis(1)))
                .unwrap();
        }
    }
}

/// Makes the call, and returns the session's id after it.
fn carry_out(
    store: &SessionStore<Content>,
    verb: Verb,
    content: Content,
    slot: &Slot,
) -> Option<SessionId> {
    let user = content.0.0;
    let Some((id, _)) = slot else {
        return Some(store.create_for_user(user, content).unwrap().id().clone());
    };
    assert!(store.extend_lifetime(id).unwrap());
    match verb {
        Verb::Create => unreachable!("the slot is taken"),
        Verb::Update | Verb::Regenerate => {
            let mut session = store.read(id).unwrap().unwrap();
            *session.content_mut() = content;
            match verb {
                Verb::Update => store.update(&mut session).unwrap(),
                _ => store.regenerate_id(&mut session).unwrap(),
            }
            Some(session.id().clone())
        }
        Verb::Modify => {
            let modified = store.modify(id, |session| *session.content_mut() = content);
            modified.unwrap().map(|session| session.id().clone())
        }
        Verb::Destroy => {
            assert!(store.destroy(id).unwrap());
            None
        }
        Verb::DestroyAll => {
            assert!(store.destroy_all_of(user).unwrap() > 0);
            None
        }
    }
}
