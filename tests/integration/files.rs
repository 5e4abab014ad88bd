//! The file: its creation, who may open it, and files that are not stores.

use std::fs::{self, File};
use std::io::Write;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, symlink};
#[cfg(windows)]
use std::os::windows::fs::symlink_file as symlink;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;

use redb::{Database, TableDefinition};
use sessile::{Attributes, Error, SessionId, SessionStore};

type Store = SessionStore<Attributes>;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn refusal(path: &Path) -> Error {
    match Store::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => {
            let text = error.to_string();
            // Windows shows the path with its own separators.
            let path = path.to_string_lossy().replace('/', std::path::MAIN_SEPARATOR_STR);
            let path = path.replace('\0', "\\u{0}");
            let text = text.replace('/', std::path::MAIN_SEPARATOR_STR);
            assert!(text.contains(&path), "no path in: {text}");
            error
        }
    }
}

#[test]
fn a_new_file_is_private_and_alone_in_its_folder() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    store.create(Attributes::new()).unwrap();
    assert!(crate::child::is_private(&path));
    assert_eq!(folder.names(), ["sessions.redb"]);
}

#[test]
fn an_empty_file_becomes_a_store_and_stays_the_same_file() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    File::create(&path).unwrap();
    #[cfg(unix)]
    let before = fs::metadata(&path).unwrap().ino();
    let id = Store::open(&path).unwrap().create(Attributes::new()).unwrap().id().clone();
    assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some());
    #[cfg(unix)]
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    assert!(crate::child::is_private(&path));
    assert_eq!(folder.names(), ["sessions.redb"]);
}

#[test]
fn an_empty_file_with_two_names_becomes_one_store() {
    let folder = Folder::new();
    let (path, other) = (folder.path("sessions.redb"), folder.path("other.redb"));
    File::create(&path).unwrap();
    fs::hard_link(&path, &other).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(matches!(refusal(&other), Error::AlreadyOpen { .. }));
    let id = store.create(Attributes::new()).unwrap().id().clone();
    store.close().unwrap();
    assert!(Store::open(&other).unwrap().read(&id).unwrap().is_some());
}

/// The mark of a file under creation, as docs/internals/format.md describes it.
fn with_mark_of_making(path: &Path) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let head = [b"sess-new".as_slice(), &1_u64.to_le_bytes(), &[0; 16]].concat();
    let mut bytes = fs::read(path).unwrap();
    bytes[3_072..3_104].copy_from_slice(&head);
    bytes[3_104..3_120].copy_from_slice(&Sha256::digest(&head)[..16]);
    bytes
}

#[test]
fn what_a_killed_creation_left_is_begun_again_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    drop(Store::open(&path).unwrap());
    let unfinished = with_mark_of_making(&path);
    for len in [3_584, 4_096, 10_000, unfinished.len()] {
        fs::write(&path, &unfinished[..len]).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(store.is_empty().unwrap());
        let id = store.create(Attributes::new()).unwrap().id().clone();
        drop(store);
        assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some(), "{len} bytes");
        assert_eq!(&fs::read(&path).unwrap()[3_072..3_584], [0; 512], "the mark is gone");
        assert_eq!(folder.names(), ["sessions.redb"]);
    }
}

#[test]
fn a_new_store_leaves_every_other_file_alone_whatever_its_name() {
    let folder = Folder::new();
    let mut names: Vec<String> = [".new", ".copy", ".old", ".tmp", "~", ".lock", ".bak", ".draft"]
        .iter()
        .flat_map(|end| [format!("sessions.redb{end}"), format!(".sessions.redb{end}")])
        .collect();
    for name in &names {
        fs::write(folder.path(name), name).unwrap();
    }
    // A store, closed and sound, under such a name.
    let precious = Store::open(folder.path("precious.new")).unwrap();
    let id = precious.create(Attributes::new()).unwrap().id().clone();
    precious.close().unwrap();
    drop(Store::open(folder.path("precious")).unwrap());
    drop(Store::open(folder.path("sessions.redb")).unwrap());
    for name in &names {
        assert_eq!(&fs::read_to_string(folder.path(name)).unwrap(), name);
    }
    assert!(Store::open(folder.path("precious.new")).unwrap().read(&id).unwrap().is_some());
    names.extend(["precious".into(), "precious.new".into(), "sessions.redb".into()]);
    names.sort();
    assert_eq!(folder.names(), names);
}

#[test]
fn a_name_of_any_length_that_the_file_system_takes_is_a_store() {
    let folder = Folder::new();
    for len in [1, 200, 250, 251, 255] {
        let path = folder.path(&"x".repeat(len));
        let store = Store::open(&path).unwrap();
        let id = store.create(Attributes::new()).unwrap().id().clone();
        store.close().unwrap();
        assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some(), "{len}");
        let new = folder.path(&"y".repeat(len));
        assert_eq!(sessile::salvage(&path, &new).unwrap().kept, 1, "{len}");
        assert!(Store::open(&new).unwrap().read(&id).unwrap().is_some(), "{len}");
    }
    assert!(matches!(refusal(&folder.path(&"x".repeat(256))), Error::Io { .. }));
    let mut deep = folder.path("");
    (0..20).for_each(|_| deep.push("d".repeat(240)));
    assert!(matches!(refusal(&deep), Error::Io { .. }));
}

#[test]
fn a_path_that_names_no_file_is_an_error_that_names_it() {
    let folder = Folder::new();
    for path in ["sessions.redb/", "no/such/", "", "no/such/..", "a\0b"] {
        let path = match path {
            "" => PathBuf::new(),
            path => folder.path(path),
        };
        let error = refusal(&path);
        assert!(
            matches!(error, Error::NotARegularFile { .. } | Error::Io { .. }),
            "{}: {error:?}",
            path.display()
        );
    }
    assert!(matches!(refusal(Path::new("..")), Error::NotARegularFile { what: "a folder", .. }));
    assert!(folder.names().is_empty());
}

#[test]
fn two_threads_that_create_one_file_end_up_with_one_store() {
    for _ in 0..20 {
        let folder = Folder::new();
        let path = folder.path("sessions.redb");
        let stores: Vec<_> = std::thread::scope(|scope| {
            let open = || scope.spawn(|| Store::open(&path));
            let threads = [open(), open(), open(), open()];
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let opened: Vec<_> = stores.iter().filter_map(|store| store.as_ref().ok()).collect();
        assert_eq!(opened.len(), 1);
        for error in stores.iter().filter_map(|store| store.as_ref().err()) {
            assert!(matches!(error, Error::AlreadyOpen { .. }), "{error:?}");
        }
        let id = opened[0].create(Attributes::new()).unwrap().id().clone();
        drop(stores);
        assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some());
        assert_eq!(folder.names(), ["sessions.redb"]);
    }
}

#[test]
fn a_symbolic_link_is_refused_even_to_a_store() {
    let folder = Folder::new();
    let target = folder.path("target.redb");
    drop(Store::open(&target).unwrap());
    let before = fs::read(&target).unwrap();
    for (link, to) in [("link.redb", "target.redb"), ("dangling.redb", "nothing.redb")] {
        let link = folder.path(link);
        symlink(folder.path(to), &link).unwrap();
        assert!(matches!(refusal(&link), Error::NotARegularFile { what: "a symbolic link", .. }));
    }
    assert_eq!(fs::read(&target).unwrap(), before);
    assert!(!folder.path("nothing.redb").exists());
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    assert!(matches!(refusal(folder.0.path()), Error::NotARegularFile { what: "a folder", .. }));
}

#[cfg(unix)]
#[test]
fn what_is_a_device_a_pipe_or_a_link_of_the_system_is_refused() {
    let folder = Folder::new();
    for (path, what) in [
        ("/dev/null", "a device or a pipe"),
        ("/proc/self/fd/0", "a symbolic link"),
        ("/", "a folder's name"),
    ] {
        let refused = refusal(Path::new(path));
        assert!(matches!(refused, Error::NotARegularFile { what: found, .. } if found == what));
    }
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(matches!(refusal(&pipe), Error::NotARegularFile { what: "a device or a pipe", .. }));
}

#[test]
fn a_missing_folder_is_an_error_that_names_the_path() {
    let folder = Folder::new();
    assert!(matches!(refusal(&folder.path("no/such/sessions.redb")), Error::Io { .. }));
}

#[test]
fn a_file_in_the_place_of_a_folder_is_an_error_that_names_the_path() {
    let folder = Folder::new();
    File::create(folder.path("file")).unwrap();
    // For such a path Windows reports only that nothing is there.
    let action = if cfg!(windows) { "create" } else { "look at" };
    let refused = refusal(&folder.path("file/sessions.redb"));
    assert!(matches!(refused, Error::Io { action: tried, .. } if tried == action), "{refused:?}");
}

#[test]
fn a_folder_that_was_replaced_is_noticed_and_nothing_is_acknowledged() {
    let folder = Folder::new();
    let (inner, moved) = (folder.path("inner"), folder.path("moved"));
    fs::create_dir(&inner).unwrap();
    let store = Store::open(inner.join("sessions.redb")).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    fs::rename(&inner, &moved).unwrap();
    File::create(&inner).unwrap();
    assert!(matches!(store.create(Attributes::new()), Err(Error::Io { .. })));
    assert!(matches!(store.destroy(&id), Err(Error::Io { .. })));
    fs::remove_file(&inner).unwrap();
    fs::rename(&moved, &inner).unwrap();
    assert!(store.destroy(&id).unwrap(), "it goes on once the folder is back");
    assert!(store.is_empty().unwrap());
}

#[test]
fn other_files_are_refused_and_left_as_they_are() {
    let folder = Folder::new();
    let foreign = folder.path("foreign.redb");
    {
        const TABLE: TableDefinition<'_, &str, u64> = TableDefinition::new("somebody's");
        let database = Database::create(&foreign).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert("key", 1).unwrap();
        transaction.commit().unwrap();
    }
    for (name, bytes) in [
        ("text", b"To whom it may concern".to_vec()),
        ("one_byte", vec![b'r']),
        ("magic_alone", b"redb\x1A\x0A\xA9\x0D\x0A".to_vec()),
        ("zeroes", vec![0; 100_000]),
    ] {
        fs::write(folder.path(name), bytes).unwrap();
    }
    for name in ["foreign.redb", "text", "one_byte", "magic_alone", "zeroes"] {
        let path = folder.path(name);
        let before = fs::read(&path).unwrap();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(matches!(refusal(&path), Error::NotASessionStore { .. }), "{name}");
        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), changed, "{name}");
    }
}

/// A store whose signature has this format version.
fn store_of_version(path: &Path, version: u8) -> Vec<u8> {
    drop(Store::open(path).unwrap());
    let mut bytes = fs::read(path).unwrap();
    let magic = b"sessile store\x1A\r\n";
    let at = bytes.windows(magic.len()).position(|window| window == magic).unwrap();
    bytes[at + magic.len()] = version;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let bytes = store_of_version(&path, 2);
    assert!(matches!(refusal(&path), Error::UnsupportedFormat { found: 2, supported: 1, .. }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Content that a careless search takes for the file's signature, with this version.
fn mark_of_version(version: u64) -> Vec<u8> {
    [b"sessile store\x1A\r\n".as_slice(), &version.to_le_bytes()].concat()
}

/// A closed store in which that content comes before the real signature.
fn store_with_mark(path: &Path, version: u64) -> Vec<SessionId> {
    let mark = mark_of_version(version);
    let mut ids = Vec::new();
    loop {
        let store = SessionStore::<Vec<u8>>::open(path).unwrap();
        ids.extend((0..20).map(|_| store.create(mark.clone()).unwrap().id().clone()));
        store.close().unwrap();
        let bytes = fs::read(path).unwrap();
        let first = bytes.windows(16).position(|window| window == &mark[..16]).unwrap();
        if bytes[first..].starts_with(&mark) {
            return ids;
        }
        assert!(ids.len() < 10_000);
    }
}

#[test]
fn content_that_looks_like_the_mark_of_a_newer_store_keeps_nobody_out() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let ids = store_with_mark(&path, u64::MAX);
    let store = SessionStore::<Vec<u8>>::open(&path).unwrap();
    for id in ids {
        assert_eq!(store.read(&id).unwrap().unwrap().content(), &mark_of_version(u64::MAX));
    }
}

#[test]
fn content_that_looks_like_the_mark_of_this_version_lets_no_newer_store_in() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    store_with_mark(&path, 1);
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", &*mark_of_version(2)).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refusal(&path), Error::UnsupportedFormat { found: 2, supported: 1, .. }));
}

#[test]
fn a_format_that_never_was_is_no_store_and_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let bytes = store_of_version(&path, 0);
    assert!(matches!(refusal(&path), Error::NotASessionStore { .. }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn every_truncation_is_an_error_or_a_new_store() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    {
        let store = Store::open(&path).unwrap();
        for _ in 0..10 {
            store.create(Attributes::new()).unwrap();
        }
    }
    let whole = fs::read(&path).unwrap();
    // Every length of the header, and then some lengths in each page.
    let lengths = (1..700).chain((700..whole.len()).step_by(1_021));
    for len in lengths {
        let cut = folder.path("cut.redb");
        fs::write(&cut, &whole[..len]).unwrap();
        let error = refusal(&cut);
        assert!(
            matches!(error, Error::NotASessionStore { .. } | Error::DamagedFile { .. }),
            "{len} bytes: {error:?}"
        );
    }
}

#[test]
fn a_file_is_open_once_by_whatever_name() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let hard_link = folder.path("other_name.redb");
    fs::hard_link(&path, &hard_link).unwrap();
    for name in [&path, &hard_link] {
        assert!(matches!(refusal(name), Error::AlreadyOpen { .. }));
    }
    drop(store);
    Store::open(&hard_link).unwrap();
}

#[test]
fn a_deleted_or_replaced_file_is_noticed_and_nothing_is_acknowledged() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    for replaced in [false, true] {
        let store = Store::open(&path).unwrap();
        let id = store.create(Attributes::new()).unwrap().id().clone();
        fs::remove_file(&path).unwrap();
        if replaced {
            File::create(&path).unwrap().write_all(b"something else").unwrap();
        }
        let replaced_error =
            |error: Error| assert!(matches!(error, Error::FileReplaced { .. }), "{error:?}");
        replaced_error(store.create(Attributes::new()).unwrap_err());
        replaced_error(store.destroy(&id).unwrap_err());
        assert!(store.read(&id).unwrap().is_some(), "reads go on");
        drop(store);
        fs::remove_file(&path).or_else(|error| if replaced { Err(error) } else { Ok(()) }).unwrap();
    }
}

#[test]
fn a_moved_file_can_be_moved_back() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    fs::rename(&path, folder.path("moved.redb")).unwrap();
    assert!(matches!(store.create(Attributes::new()), Err(Error::FileReplaced { .. })));
    fs::rename(folder.path("moved.redb"), &path).unwrap();
    store.create(Attributes::new()).unwrap();
}

#[test]
fn a_relative_path_stays_the_same_file_when_the_program_changes_its_folder() {
    // The working folder belongs to the whole process, so only the stored path is checked.
    let here = std::env::current_dir().unwrap();
    // As `Debug` prints it.
    let here = format!("{:?}", here.join("target"));
    let here = here.trim_matches('"');
    let store = sessile::RedbEngine::open(Path::new("target/relative.redb"));
    match store {
        Ok(engine) => {
            assert!(format!("{engine:?}").contains(here));
            drop(engine);
            fs::remove_file("target/relative.redb").unwrap();
        }
        // If the target folder is elsewhere, there is nothing to open here.
        Err(error) => assert!(format!("{error:?}").contains(here)),
    }
}

#[test]
fn after_a_crash_what_was_acknowledged_is_there() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    // The bytes on the disk now are those that a killed process leaves.
    let crashed = folder.path("crashed.redb");
    fs::copy(&path, &crashed).unwrap();
    let recovered = Store::open(&crashed).unwrap();
    assert!(recovered.read(&id).unwrap().is_some());
    assert_eq!(recovered.len().unwrap(), 1);
}

#[test]
fn a_file_that_was_cut_inside_its_log_is_refused_as_damaged() {
    let folder = Folder::new();
    let (path, copy) = (folder.path("sessions.redb"), folder.path("copy.redb"));
    let store = Store::open(&path).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    fs::copy(&path, &copy).unwrap();
    assert!(Store::open(&copy).unwrap().read(&id).unwrap().is_some(), "as a crash leaves it");
    fs::copy(&path, &copy).unwrap();
    let file = File::options().write(true).open(&copy).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    assert!(matches!(refusal(&copy), Error::DamagedFile { .. }));
}

#[test]
fn without_a_record_cache_reads_see_every_write_and_touch() {
    let folder = Folder::new();
    let builder = SessionStore::<u32>::builder().record_cache(false).manual_maintenance();
    let store = builder.open(folder.path("sessions.redb")).unwrap();
    let mut session = store.create(1).unwrap();
    for content in 2..5 {
        *session.content_mut() = content;
        store.update(&mut session).unwrap();
        assert!(store.extend_lifetime(session.id()).unwrap());
        let read = store.read(session.id()).unwrap().unwrap();
        assert_eq!(*read.content(), content);
        assert!(read.last_active() >= session.last_active());
    }
    assert!(store.destroy(session.id()).unwrap());
    assert!(store.read(session.id()).unwrap().is_none());
}

#[test]
fn every_setting_out_of_its_range_is_refused_before_anything_is_created() {
    use std::time::Duration;

    use sessile::{Durability, UserLimit};

    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let builder = Store::builder;
    let too_long = Duration::from_secs(1_000_000);
    let deferred = |interval| builder().durability(Durability::Deferred { interval });
    for (name, settings) in [
        ("cache_size", builder().cache_size(1_000_000)),
        ("max_content_len", builder().max_content_len(16 * 1024 * 1024 + 1)),
        ("max_sessions", builder().max_sessions(0)),
        ("max_sessions_per_user", builder().max_sessions_per_user(0, UserLimit::Refuse)),
        ("touch_interval", builder().touch_interval(Duration::ZERO)),
        ("touch_interval", builder().touch_interval(too_long)),
        ("sweep_interval", builder().sweep_interval(Duration::ZERO)),
        ("sweep_interval", builder().sweep_interval(too_long)),
        ("durability", deferred(Duration::ZERO)),
        ("durability", deferred(too_long)),
        ("content_name", builder().content_name("")),
        ("content_version", builder().content_version(0, |old| old.decode())),
        ("engine", builder().engine(sessile::MemoryEngine::new())),
    ] {
        match settings.open(&path) {
            Err(Error::InvalidSetting { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(matches!(builder().build(), Err(Error::InvalidSetting { name: "engine", .. })));
    assert!(folder.names().is_empty());
}

#[test]
fn an_open_that_may_wait_outlives_a_handle_that_closes_and_no_other() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let soon = Store::builder().open_timeout(std::time::Duration::from_millis(50));
    assert!(matches!(soon.open(&path), Err(Error::AlreadyOpen { .. })), "it stays open");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            store.close().unwrap();
        });
        let waiting = Store::builder().open_timeout(std::time::Duration::from_secs(600));
        waiting.open(&path).unwrap().create(Attributes::new()).unwrap();
    });
}

#[cfg(unix)]
#[test]
fn a_name_with_a_line_break_or_of_bytes_that_are_no_text_is_a_store() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    for name in [&b"two\nlines.redb"[..], b"\xff\xfe no text.redb"] {
        let path = folder.0.path().join(std::ffi::OsStr::from_bytes(name));
        let store = Store::open(&path).unwrap();
        let id = store.create(Attributes::new()).unwrap().id().clone();
        assert!(matches!(Store::open(&path), Err(Error::AlreadyOpen { .. })));
        let text = Store::open(&path).err().unwrap().to_string();
        assert!(!text.contains('\n'), "a log line: {text}");
        store.close().unwrap();
        let store = Store::builder().open_existing(&path).unwrap();
        assert!(store.read(&id).unwrap().is_some());
        store.backup(folder.path("copy.redb")).unwrap();
        fs::remove_file(folder.path("copy.redb")).unwrap();
    }
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2, "nothing else is left");
}

/// The working folder belongs to the whole process, so this part has its own.
#[cfg(unix)]
#[test]
fn a_store_goes_on_after_the_working_folder_was_deleted() {
    const PLAYS: &str = "SESSILE_TEST_NO_FOLDER";
    const SAYS: &str = "it goes on";
    let test = "files::a_store_goes_on_after_the_working_folder_was_deleted";
    if std::env::var_os(PLAYS).is_none() {
        let output = crate::child::running(test).env(PLAYS, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(SAYS), "{text}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (folder, gone) = (Folder::new(), Folder::new());
    let path = folder.path("sessions.redb");
    std::env::set_current_dir(gone.0.path()).unwrap();
    let store = Store::open(&path).unwrap();
    fs::remove_dir(gone.0.path()).unwrap();
    assert!(std::env::current_dir().is_err());
    let id = store.create(Attributes::new()).unwrap().id().clone();
    store.clean_up_expired().unwrap();
    store.close().unwrap();
    // An absolute path needs no working folder; a relative one leads nowhere.
    assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some());
    assert!(matches!(Store::open("sessions.redb"), Err(Error::Io { .. })));
    println!("{SAYS}");
}
