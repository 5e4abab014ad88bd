//! Archives: an export is imported unchanged, and a cut or altered archive is detected.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use sessile::admin::{ImportOptions, ImportReport, LeaveOut};
use sessile::engine::{Engine, Moment};
use sessile::testing::ManualClock;
use sessile::{Error, Inspector, MemoryEngine, SessionKey, SessionOptions, SessionStore, Timeouts};

use super::go_on;

type Memory = Arc<MemoryEngine>;

/// Sessions of every kind: own timeouts, tokens, users of all sorts, contents of all bytes.
fn sample(clock: &ManualClock) -> (Memory, Vec<SessionKey>) {
    let engine = Memory::default();
    let builder = SessionStore::<Vec<u8>>::builder().engine(engine.clone()).clock(clock.clone());
    let store = builder.content_name("test \"x\"").manual_maintenance().build().unwrap();
    let mut keys = Vec::new();
    let mut add = |content: Vec<u8>, options: SessionOptions| {
        keys.push(store.create_with(content, &options).unwrap().key());
    };
    add(vec![], SessionOptions::new());
    add((0..=255).collect(), SessionOptions::new().user("ann \u{1f511}\n\"").csrf_token());
    for number in [0, -1, i64::MIN, i64::MAX] {
        add(vec![1], SessionOptions::new().user(number));
    }
    // Numbers that do not fit 64 bits.
    for number in [i128::from(u64::MAX) + 1, i128::MIN] {
        add(vec![1], SessionOptions::new().user(number));
    }
    add(vec![1], SessionOptions::new().user(u128::MAX));
    add(vec![2], SessionOptions::new().user(u64::MAX).absolute(Duration::from_secs(900)));
    add(vec![3], SessionOptions::new().user("").inactivity(Duration::from_millis(900_001)));
    clock.advance(Duration::from_secs(5));
    let mut session = store.create(vec![4]).unwrap();
    *session.content_mut() = vec![5];
    store.update(&mut session).unwrap();
    keys.push(session.key());
    keys.sort();
    (engine, keys)
}

fn exported(engine: &Memory, clock: &ManualClock, with_content: bool) -> Vec<u8> {
    let mut archive = Vec::new();
    let inspector = Inspector::on(engine.clone()).unwrap().with_clock(clock.clone());
    let leave_out = LeaveOut::nothing();
    inspector.export(&mut archive, with_content, &leave_out, &mut go_on).unwrap();
    archive
}

fn imported(engine: &Memory, clock: &ManualClock, archive: &[u8]) -> sessile::Result<ImportReport> {
    imported_with(engine, clock, archive, ImportOptions::default())
}

fn imported_with(
    engine: &Memory,
    clock: &ManualClock,
    archive: &[u8],
    options: ImportOptions,
) -> sessile::Result<ImportReport> {
    let inspector = Inspector::on(engine.clone()).unwrap().with_clock(clock.clone());
    inspector.import(&mut Cursor::new(archive), &options, &mut go_on)
}

#[test]
fn every_session_comes_back_as_the_record_it_was_and_a_second_import_changes_nothing() {
    let clock = ManualClock::new();
    let (engine, keys) = sample(&clock);
    let archive = exported(&engine, &clock, true);
    let other = Memory::default();
    let report = imported(&other, &clock, &archive).unwrap();
    assert_eq!((report.imported, report.already_there), (keys.len() as u64, 0));
    for key in &keys {
        let of = |engine: &Memory| engine.load(key, Moment::BEGINNING).unwrap().unwrap();
        assert_eq!(of(&other), of(&engine));
    }
    for name in ["content_name", "timeouts", "created_at"] {
        let of = |engine: &Memory| engine.load_meta(name).unwrap();
        assert!(of(&engine).is_some());
        assert_eq!(of(&other), of(&engine), "{name}");
    }
    let report = imported(&other, &clock, &archive).unwrap();
    assert_eq!((report.imported, report.already_there), (0, keys.len() as u64));
    assert_eq!(exported(&other, &clock, true), archive, "and goes out the same");
}

#[test]
fn a_session_that_differs_is_named_and_left_as_it_is() {
    let clock = ManualClock::new();
    let (engine, keys) = sample(&clock);
    let archive = exported(&engine, &clock, true);
    let record = engine.load(&keys[0], Moment::BEGINNING).unwrap().unwrap();
    let other = Memory::default();
    imported(&other, &clock, &archive).unwrap();
    let ann = sessile::UserId::from("renamed");
    let renamed = sessile::engine::UserKey::from_bytes(&[&[3][..], b"renamed"].concat()).unwrap();
    assert_eq!(renamed.to_id(), Some(ann));
    let record = record.renamed(&renamed);
    other.remove(&keys[0], None, Moment::BEGINNING).unwrap();
    let limits = sessile::engine::Limits::NONE;
    let _ = other.insert(&keys[0], record.clone(), Moment::BEGINNING, limits).unwrap();
    let report = imported(&other, &clock, &archive).unwrap();
    assert_eq!((report.imported, report.differing.first()), (0, &keys[..1]));
    assert_eq!(other.load(&keys[0], Moment::BEGINNING).unwrap(), Some(record));
}

#[test]
fn an_archive_without_contents_holds_none_and_is_not_imported() {
    let clock = ManualClock::new();
    let (engine, _) = sample(&clock);
    let archive = String::from_utf8(exported(&engine, &clock, false)).unwrap();
    for secret in ["\"content\":", "csrf_token"] {
        assert!(!archive.contains(secret), "{secret}");
    }
    let other = Memory::default();
    let refused = imported(&other, &clock, archive.as_bytes()).unwrap_err();
    assert!(matches!(refused, Error::InvalidArchive { line: 1, .. }), "{refused:?}");
    assert_eq!(other.stats().unwrap().stored, 0);
}

#[test]
fn an_archive_cut_or_altered_anywhere_is_refused_before_anything_is_changed() {
    let clock = ManualClock::new();
    let (engine, _) = sample(&clock);
    let archive = exported(&engine, &clock, true);
    let other = Memory::default();
    let refused = |archive: &[u8], what: &str| match imported(&other, &clock, archive) {
        Err(Error::InvalidArchive { .. }) => {}
        other => panic!("{what}: {other:?}"),
    };
    for len in 0..archive.len() {
        refused(&archive[..len], &format!("cut to {len}"));
    }
    for at in 0..archive.len() {
        let mut altered = archive.clone();
        altered[at] ^= 1;
        refused(&altered, &format!("altered at {at}"));
    }
    let lines: Vec<_> = archive.split_inclusive(|byte| *byte == b'\n').collect();
    for without in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(without);
        refused(&fewer.concat(), &format!("without line {}", without + 1));
        let mut more = lines.clone();
        more.insert(without, lines[without]);
        refused(&more.concat(), &format!("line {} twice", without + 1));
    }
    assert_eq!(other.stats().unwrap().stored, 0);
    assert_eq!(other.load_meta("content_name").unwrap(), None);
}

/// What is wrong with a line that follows the header.
fn fault_of(line: &str) -> String {
    let header = r#"{"sessile_archive":1,"with_content":true,"exported_at":0}"#;
    let archive = format!("{header}\n{line}\n");
    match imported(&Memory::default(), &ManualClock::new(), archive.as_bytes()) {
        Err(Error::InvalidArchive { line: 2, reason }) => reason,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_line_is_refused_at_the_first_field_that_does_not_belong_there() {
    // The rest of each line is not looked at: a line of many elements is never held as such.
    for (line, reason) in [
        (r#"{"also":[1,"#, "unknown field `also`"),
        (r#"{"key":[1,"#, "invalid type: sequence"),
        (r#"{"user":{"text":[1,"#, "invalid type: sequence"),
        (r#"{"key":"00"}"#, "missing field `created_at`"),
        (r#"{"sessions":0}"#, "missing field `sha256`"),
        (r#"{"sessions":0,"sha256":"","revision":1}"#, "fields of a session and of the trailer"),
        (r#"[0,""]"#, "no JSON object"),
    ] {
        let fault = fault_of(line);
        assert!(fault.contains("neither a session nor the trailer"), "{fault}");
        assert!(fault.contains(reason), "{line}: {fault}");
    }
}

#[test]
fn a_session_that_no_store_can_make_is_refused() {
    let line = |created_at: u64, own: &str| {
        format!(
            r#"{{"key":"{}","created_at":{created_at},"last_active":{created_at},"revision":1,{own}"content_version":0,"content_len":0,"content":""}}"#,
            "0".repeat(32)
        )
    };
    let last = u64::MAX;
    for (line, reason) in [
        (line(0, r#""inactivity":2,"absolute":1,"#), "greater than the absolute one"),
        (line(2, &format!(r#""absolute":{},"#, last - 1)), "past the last moment"),
        (line(last, ""), "past the last moment"),
    ] {
        let fault = fault_of(&line);
        assert!(fault.contains(reason), "{line}: {fault}");
    }
    // In base64, 4 letters are 3 bytes. A content has 17 bytes of head.
    let of_len = |len: usize, padding: &str| {
        let letters = "A".repeat((len * 4).div_ceil(3));
        let filled = format!(r#""content_len":{len},"content":"{letters}{padding}""#);
        line(1, "").replace(r#""content_len":0,"content":"""#, &filled)
    };
    let largest = (16 << 20) + 17;
    let fault = fault_of(&of_len(largest + 1, "=="));
    assert!(fault.contains("more content than a session may have"), "{fault}");
    // These end in time, so only the trailer is missing.
    let least = [line(1, &format!(r#""absolute":{},"#, last - 1)), line(last - 1, "")];
    for line in least.into_iter().chain([of_len(largest, "")]) {
        let header = r#"{"sessile_archive":1,"with_content":true,"exported_at":0}"#;
        let archive = format!("{header}\n{line}\n");
        let refused = imported(&Memory::default(), &ManualClock::new(), archive.as_bytes());
        assert!(matches!(refused, Err(Error::InvalidArchive { line: 3, .. })), "{refused:?}");
    }
}

#[test]
fn what_comes_before_a_fault_is_imported_if_that_is_wanted_and_the_line_is_named() {
    let clock = ManualClock::new();
    let (engine, keys) = sample(&clock);
    let archive = exported(&engine, &clock, true);
    let lines: Vec<_> = archive.split_inclusive(|byte| *byte == b'\n').collect();
    let cut = [lines[0], lines[1], lines[2], &lines[3][..20]].concat();
    let other = Memory::default();
    let options = ImportOptions::default().partial(true);
    let report = imported_with(&other, &clock, &cut, options.clone()).unwrap();
    assert_eq!(report.imported, 2);
    assert!(matches!(report.fault, Some(Error::InvalidArchive { line: 4, .. })), "{report:?}");
    let report = imported_with(&other, &clock, &archive, options).unwrap();
    assert_eq!((report.imported, report.already_there), (keys.len() as u64 - 2, 2));
    assert!(report.fault.is_none());
}

#[test]
fn what_is_expired_or_of_another_name_is_not_imported() {
    let clock = ManualClock::new();
    let (engine, keys) = sample(&clock);
    let archive = exported(&engine, &clock, true);
    let other = Memory::default();
    other.store_meta("content_name", b"another").unwrap();
    let refused = imported(&other, &clock, &archive).unwrap_err();
    assert!(matches!(refused, Error::ContentMismatch { .. }), "{refused:?}");
    assert_eq!(other.stats().unwrap().stored, 0);

    clock.advance(Duration::from_secs(895));
    let other = Memory::default();
    let report = imported(&other, &clock, &archive).unwrap();
    assert_eq!((report.imported, report.expired), (2, keys.len() as u64 - 2), "{report:?}");
}

#[test]
fn what_is_expired_where_the_archive_is_from_is_not_imported_into_a_store_that_keeps_longer() {
    let clock = ManualClock::new();
    let of = |engine: &Memory, timeouts| {
        let builder = SessionStore::<u32>::builder().engine(engine.clone()).clock(clock.clone());
        builder.timeouts(timeouts).manual_maintenance().build().unwrap()
    };
    let minutes = |inactivity: i64| Timeouts::from_seconds(inactivity * 60, 86_400).unwrap();
    let engine = Memory::default();
    let source = of(&engine, minutes(5));
    let own = SessionOptions::new().inactivity(Duration::from_secs(1_800));
    let [expired, touched] = [source.create(1).unwrap(), source.create(2).unwrap()];
    let longer = source.create_with(3, &own).unwrap();
    clock.advance(Duration::from_secs(240));
    assert!(source.extend_lifetime(touched.id()).unwrap());
    clock.advance(Duration::from_secs(240));
    assert!(source.read(expired.id()).unwrap().is_none());
    let archive = exported(&engine, &clock, true);

    let other = Memory::default();
    let target = of(&other, minutes(60));
    let report = imported(&other, &clock, &archive).unwrap();
    assert_eq!((report.imported, report.expired), (2, 1), "{report:?}");
    assert!(target.read(expired.id()).unwrap().is_none());
    for session in [&touched, &longer] {
        let read = target.read(session.id()).unwrap().unwrap();
        let lives = if read.key() == touched.key() { 3_600 } else { 1_800 };
        assert_eq!(read.expires_at(), read.last_active() + Duration::from_secs(lives));
    }
    assert!(target.check().unwrap().is_sound());
}

#[test]
fn a_session_that_has_expired_in_the_store_alone_gets_the_activity_of_the_archive() {
    let clock = ManualClock::new();
    let engine = Memory::default();
    let builder = SessionStore::<u32>::builder().engine(engine.clone()).clock(clock.clone());
    let store = builder.manual_maintenance().build().unwrap();
    // One goes by the timeouts on record, and one by its own.
    let own = SessionOptions::new().inactivity(Duration::from_secs(900));
    let sessions = [store.create(1).unwrap(), store.create_with(2, &own).unwrap()];
    let last_night = exported(&engine, &clock, true);
    clock.advance(Duration::from_secs(600));
    assert!(sessions.iter().all(|session| store.extend_lifetime(session.id()).unwrap()));
    let today = exported(&engine, &clock, true);
    clock.advance(Duration::from_secs(600));

    let early = ManualClock::new();
    early.set_millis(clock.millis() - 1_200_000);
    let other = Memory::default();
    assert_eq!(imported(&other, &early, &last_night).unwrap().imported, 2);
    let builder = SessionStore::<u32>::builder().engine(other.clone()).clock(clock.clone());
    let restored = builder.manual_maintenance().build().unwrap();
    assert_eq!(restored.len().unwrap(), 0, "they have expired, and are not swept yet");
    let report = imported(&other, &clock, &today).unwrap();
    assert_eq!((report.imported, report.already_there), (0, 2), "{report:?}");
    for session in &sessions {
        let of = |store: &SessionStore<u32>| store.read(session.id()).unwrap().unwrap();
        assert_eq!(of(&restored).last_active(), of(&store).last_active());
    }
    assert!(restored.check().unwrap().is_sound());
    // An earlier activity shortens no life.
    let report = imported(&other, &early, &last_night).unwrap();
    assert_eq!((report.imported, report.already_there), (0, 2), "{report:?}");
    assert_eq!(restored.len().unwrap(), 2);
}

#[test]
fn an_export_leaves_out_whom_it_is_told_to_and_can_be_called_off() {
    let clock = ManualClock::new();
    let (engine, keys) = sample(&clock);
    let inspector = Inspector::on(engine).unwrap().with_clock(clock);
    let mut archive = Vec::new();
    let leave_out = LeaveOut::nothing().user("").user("nobody").user(-1);
    let report = inspector.export(&mut archive, true, &leave_out, &mut go_on).unwrap();
    assert_eq!((report.sessions, report.left_out), (keys.len() as u64 - 2, 2));
    assert_eq!(report.unmatched_users, ["nobody".into()]);
    let called_off = inspector
        .export(&mut Vec::new(), true, &leave_out, &mut |_| ControlFlow::Break(()))
        .unwrap_err();
    assert!(matches!(called_off, Error::CalledOff { action: "export" }));
}

/// An archive that a program replaces after it was read once.
struct Rewritten {
    readings: u32,
    now: Cursor<Vec<u8>>,
    then: Vec<u8>,
}

impl Read for Rewritten {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.now.read(bytes)
    }
}

impl Seek for Rewritten {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        assert_eq!(to, SeekFrom::Start(0));
        self.readings += 1;
        if self.readings == 2 {
            self.now = Cursor::new(self.then.clone());
        }
        self.now.seek(to)
    }
}

#[test]
fn an_archive_that_changes_after_its_verification_is_an_error_that_counts_what_was_imported() {
    let clock = ManualClock::new();
    let (engine, keys) = sample(&clock);
    let archive = exported(&engine, &clock, true);
    let all = keys.len() as u64;
    let lines: Vec<_> = archive.split_inclusive(|byte| *byte == b'\n').collect();
    let other_header = [b"{\"sessile_archive\":2}\n", &lines[1..].concat()[..]].concat();
    // Another whole archive is told from the first one at its end.
    let program = Inspector::on(engine.clone()).unwrap().with_clock(clock.clone());
    assert!(program.revoke(&keys[0]).unwrap());
    let another = exported(&engine, &clock, true);
    for (then, line, imported) in [
        (lines[..3].concat(), 4, 2),
        (Vec::new(), 1, 0),
        (other_header, 1, 0),
        (another, all + 1, all - 1),
    ] {
        let (other, now) = (Memory::default(), Cursor::new(archive.clone()));
        let inspector = Inspector::on(other.clone()).unwrap().with_clock(clock.clone());
        let mut archive = Rewritten { readings: 0, now, then };
        let options = ImportOptions::default();
        let changed = inspector.import(&mut archive, &options, &mut go_on).unwrap_err();
        assert!(
            matches!(changed, Error::ArchiveChanged { line: at, imported: count }
                if at == line && count == imported),
            "{changed:?}"
        );
        let mut count = 0;
        let mut visit = |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        };
        inspector.sessions(None, &mut visit).unwrap();
        assert_eq!(count, imported);
    }
}
