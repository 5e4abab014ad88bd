//! The calls on a damaged file, and their right answers.

use std::fs;
use std::sync::Arc;

use sessile::testing::{ManualClock, SimulatedDisk};
use sessile::{Error, RedbEngine, Result, Salvage, SessionOptions};

use super::super::failing::{Candidate, pick};
use super::super::opened::{Opened, Store, beginning_of_time, options, store_on};
use super::super::oracle::{Content, Row, Touches, disagreement, look};
use super::super::workload::Step;
use super::super::world::World;
use super::panics::redb_may_panic;
use super::sound::Sound;

/// Draws other ids than any store of the tests that created the file.
const SEED: u64 = 1 << 40;
/// No file has it.
const TAG: u32 = 1 << 20;

/// Every call that changes something, and between them moves of the clock.
const STEPS: [Step; 18] = [
    Step::CreateForUser { user: 1, tag: TAG },
    Step::CreateWith { user: 2, tag: TAG + 1, inactivity: 300 },
    // A large one, for which the file must grow.
    Step::Create { tag: TAG + 3 },
    Step::Update { session: 3, user: 0, tag: TAG + 4 },
    Step::Modify { session: 5, tag: TAG + 5 },
    Step::Regenerate { session: 7, tag: TAG + 6 },
    Step::Extend { session: 2 },
    Step::ReadAndExtend { session: 11 },
    Step::Destroy { session: 1 },
    Step::DestroyKey { session: 4 },
    Step::DestroyOthers { session: 6 },
    Step::Forward { by: 350 },
    Step::Sweep,
    Step::Flush,
    Step::Reopen,
    Step::DestroyAllOf { user: 1 },
    Step::Clear,
    Step::Create { tag: TAG + 8 },
];

fn clock_of(sound: &Sound) -> ManualClock {
    let clock = beginning_of_time();
    clock.set_millis(sound.now);
    clock
}

/// Opens the file as a program does, and makes every call of a store. A clear error ends the calls.
pub(crate) fn with_verification(sound: &Sound, damaged: &[u8]) {
    let error = ask(sound, damaged).err();
    assert!(error.is_none() || damaged != sound.file, "a sound file: {error:?}");
    let is_clear = error.as_ref().is_none_or(|error| {
        matches!(
            error,
            Error::DamagedFile { .. }
                | Error::DamagedRecord { .. }
                | Error::NotASessionStore { .. }
                | Error::UnsupportedFormat { .. }
        )
    });
    assert!(is_clear, "{error:?} tells nothing of a damage");
}

fn ask(sound: &Sound, damaged: &[u8]) -> Result<()> {
    let (disk, clock) = (SimulatedDisk::with_store(damaged), clock_of(sound));
    let open = || Opened::drawing_from(SEED, &disk, sound.durability, &clock);
    let opened = redb_may_panic(open).expect("what panics on the way is an error")?;
    let found = look(&opened.everything)?;
    let possible: Vec<_> = sound.possible(damaged).into_iter().map(Candidate::whole).collect();
    let rows = pick(&found, &possible, Touches::Durable);
    let mut world = World::with(disk, sound.durability, clock, opened);
    (world.rows, world.ids) = (rows, sound.ids.clone());
    check_answers(&world)?;
    for step in STEPS {
        world.call(step).result?;
        let found = look(&world.opened.as_ref().unwrap().everything)?;
        assert_eq!(disagreement(&found, &world.rows, &[], Touches::All), None, "{step:?}");
    }
    check_answers(&world)?;
    world.call(Step::Reopen).result?;
    check_answers(&world)
}

/// Checks all calls that change nothing.
fn check_answers(world: &World) -> Result<()> {
    let (opened, now) = (world.opened.as_ref().unwrap(), world.clock.millis());
    let store = &opened.store;
    let live: Vec<_> = world.rows.iter().filter(|row| now < row.deadline()).collect();
    assert_eq!(store.len()?, live.len() as u64);
    for user in 0..3 {
        let of_user = live.iter().filter(|row| row.user == Some(user)).count();
        assert_eq!(store.sessions_of(user)?.len(), of_user, "user {user}");
    }
    for (key, id) in &world.ids {
        let tag = store.read(id)?.map(|session| session.content().tag);
        let row = live.iter().find(|row| row.key == Some(*key));
        assert_eq!(tag, row.map(|row| row.tag), "{key}");
    }
    let report = store.check()?;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.sessions + report.expired, world.rows.len() as u64);
    assert_eq!(store.stats()?.damaged_records, 0);
    Ok(())
}

/// Makes all calls without verification, where answers may be wrong and redb may panic. No other
/// code may panic, and the process must not end.
pub(crate) fn without_verification(sound: &Sound, damaged: &[u8]) {
    let (disk, clock) = (SimulatedDisk::with_store(damaged), clock_of(sound));
    let options = options(sound.durability).verify_on_open(false);
    for seed in [SEED, SEED + 1] {
        let opened = redb_may_panic(|| Opened::with(seed, &disk, &options, &clock));
        let Some(Ok(opened)) = opened else { continue };
        let store = opened.store.clone();
        use_all(&store, sound);
        redb_may_panic(|| store.close());
        redb_may_panic(|| drop(opened));
    }
}

fn use_all(store: &Store, sound: &Sound) {
    let ids: Vec<_> = sound.rows().iter().filter_map(|row| sound.ids.get(&row.key?)).collect();
    for id in &ids {
        redb_may_panic(|| store.read(id));
    }
    redb_may_panic(|| store.for_each(|_, _| ()));
    redb_may_panic(|| store.check());
    redb_may_panic(|| store.len());
    redb_may_panic(|| store.sessions_of(1_u8));
    let options = SessionOptions::new().user(2_u8).csrf_token();
    let created = redb_may_panic(|| store.create_with(Content::new(TAG + 3), &options));
    if let Some(Ok(mut session)) = created {
        redb_may_panic(|| store.update(&mut session));
        redb_may_panic(|| store.regenerate_id(&mut session));
        redb_may_panic(|| store.destroy_others(&session));
        redb_may_panic(|| store.read(session.id()));
    }
    if let [first, second, third, ..] = ids[..] {
        redb_may_panic(|| store.modify(first, |s| *s.content_mut() = Content::new(TAG)));
        redb_may_panic(|| store.read_and_extend(second));
        redb_may_panic(|| store.extend_lifetime(third));
        redb_may_panic(|| store.destroy(second));
        redb_may_panic(|| store.destroy_key(&third.key()));
    }
    redb_may_panic(|| store.clean_up_expired());
    redb_may_panic(|| store.destroy_all_of(1_u8));
    redb_may_panic(|| store.stats());
    redb_may_panic(|| store.flush());
    redb_may_panic(|| store.clear());
    redb_may_panic(|| store.create(Content::new(TAG + 1)));
}

/// Salvages the file's sessions into a new file, which must be sound however damaged the old one
/// is.
pub(crate) fn salvage(sound: &Sound, damaged: &[u8], include_stale: bool) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (path, new) = (folder.path().join("damaged.redb"), folder.path().join("new.redb"));
    fs::write(&path, damaged).unwrap();
    let salvage = Salvage::new().include_stale(include_stale);
    let report = redb_may_panic(|| salvage.run(&path, &new)).expect("a salvage panics never");
    assert!(fs::read(&path).unwrap() == damaged, "the damaged file is left as it is");
    let report = match report {
        Ok(report) => report,
        Err(Error::NotASessionStore { .. } | Error::UnsupportedFormat { .. }) => {
            assert!(damaged != sound.file && !new.exists());
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    let engine = Arc::new(RedbEngine::open_with(&new, &options(sound.durability)).unwrap());
    let store = store_on(Arc::clone(&engine), beginning_of_time(), SEED).unwrap();
    let found = look(&store).unwrap();
    assert_eq!(found.len() as u64, report.kept);
    assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
    // Each session was stored once; an earlier record of a touched session may be found.
    let earlier = |row: &Row| Row { durable_touch: row.created_at, ..row.clone() };
    let mut rows: Vec<_> = sound.ever.iter().map(earlier).collect();
    rows.retain(|row| found.contains_key(&row.tag));
    assert_eq!(disagreement(&found, &rows, &[], Touches::Durable), None);
    // A logout is undone only on request, or if its commit may have been damaged. (Where it is
    // unknown which log entries are needed, an earlier version of a session may be kept.)
    if !include_stale && !sound.is_header_hit(damaged) && !sound.is_log_hit(damaged) {
        let possible = sound.possible(damaged);
        let ended = |key| possible.iter().copied().flatten().all(|row| row.key != Some(key));
        let back: Vec<_> = found.values().filter(|found| ended(found.key)).collect();
        assert!(back.is_empty(), "{back:?} are back");
    }
    if damaged == sound.file {
        assert_eq!(disagreement(&found, sound.rows(), &[], Touches::Durable), None);
        assert!(report.opened && report.lost_count == 0);
    }
}
