//! Names and paths: those that a store takes, and those that name no file.

use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::fs::symlink;
#[cfg(windows)]
use std::os::windows::fs::symlink_file as symlink;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;

use sessile::{Attributes, Error};

use super::{Folder, Store, refusal};

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

#[cfg(windows)]
#[test]
fn a_junction_in_the_files_place_is_refused_and_one_on_the_way_is_followed() {
    let folder = Folder::new();
    fs::create_dir(folder.path("target")).unwrap();
    let made = std::process::Command::new("cmd")
        .args(["/c", "mklink", "/J"])
        .args([folder.path("junction"), folder.path("target")])
        .output();
    assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{made:?}");
    let refused = refusal(&folder.path("junction"));
    assert!(matches!(refused, Error::NotARegularFile { what: "a symbolic link", .. }));
    let store = Store::open(folder.path("junction/sessions.redb")).unwrap();
    let held = Store::open(folder.path("target/sessions.redb"));
    assert!(matches!(held, Err(Error::AlreadyOpen { .. })));
    store.close().unwrap();
}

/// The form that Windows itself gives a path, which may be longer than 260 characters.
#[cfg(windows)]
#[test]
fn a_path_in_the_systems_own_form_is_the_same_store() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    let verbatim = fs::canonicalize(&path).unwrap();
    assert!(verbatim.to_str().unwrap().starts_with(r"\\?\"), "{}", verbatim.display());
    assert!(matches!(Store::open(&verbatim), Err(Error::AlreadyOpen { .. })));
    store.close().unwrap();
    let store = Store::builder().open_existing(&verbatim).unwrap();
    assert!(store.read(&id).unwrap().is_some());
    store.close().unwrap();
    let mut deep = fs::canonicalize(folder.0.path()).unwrap();
    (0..3).for_each(|_| deep.push("d".repeat(120)));
    fs::create_dir_all(&deep).unwrap();
    let deep = deep.join("sessions.redb");
    let id = Store::open(&deep).unwrap().create(Attributes::new()).unwrap().id().clone();
    assert!(Store::open(&deep).unwrap().read(&id).unwrap().is_some());
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

#[cfg(unix)]
#[test]
fn a_call_that_creates_nothing_refuses_a_pipe_and_a_device_as_what_they_are() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&pipe, Path::new("/dev/null")] {
        for refused in [
            Store::builder().open_existing(path).map(drop),
            sessile::Inspector::open(path).map(drop),
            sessile::RedbEngine::compact(path).map(drop),
        ] {
            let what = "a device or a pipe";
            assert!(
                matches!(refused, Err(Error::NotARegularFile { what: found, .. }) if found == what),
                "{}: {refused:?}",
                path.display()
            );
        }
    }
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
    let test = "files::paths::a_store_goes_on_after_the_working_folder_was_deleted";
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
