//! The tool as root, or as a user who is not the program's.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sessile::admin::AdminSocket;

use crate::{Store, ends};

const APP: u32 = 12_345;
const OTHER: u32 = 65_534;
const TOOL: &str = "program";

/// A store of the user `APP` in a folder of theirs, and a backup of it; `None` if this user is not
/// root, who alone can act as another user.
fn store_of_app() -> Option<Store> {
    let store = Store::of(3);
    if fs::metadata(store.folder.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can act as another user");
        return None;
    }
    store.prints(0, &["backup", "sessions.redb", "backup.redb"]);
    // By another process: one that a thread starts meanwhile would inherit the file that is written,
    // and no program runs while its file is open for writing.
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_sessile")).arg(store.path(TOOL));
    assert!(copy.status().unwrap().success());
    fs::set_permissions(store.path(TOOL), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(store.path("backup.redb"), Permissions::from_mode(0o666)).unwrap();
    for path in [store.path("sessions.redb"), PathBuf::from(store.folder.path())] {
        chown(path, Some(APP), Some(APP)).unwrap();
    }
    Some(store)
}

/// The tool as a user without special privileges.
fn tool_as(store: &Store, user: u32, arguments: &[&str]) -> Command {
    let mut tool = Command::new(store.path(TOOL));
    tool.args(arguments).current_dir(store.folder.path()).uid(user).gid(user);
    tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tool
}

/// A file's user, group and mode.
fn owned(store: &Store, name: &str) -> (u32, u32, u32) {
    let found = fs::metadata(store.path(name)).unwrap();
    (found.uid(), found.gid(), found.mode() & 0o777)
}

const RESTORE: [&str; 4] = ["restore", "backup.redb", "sessions.redb", "--replace"];

#[test]
fn a_store_that_root_replaces_is_its_programs_still_and_no_wider_open() {
    let Some(store) = store_of_app() else { return };
    for mode in [0o600, 0o644, 0o400] {
        fs::set_permissions(store.path("sessions.redb"), Permissions::from_mode(mode)).unwrap();
        let (_, err) = store.prints(0, &RESTORE);
        assert_eq!((err.as_str(), owned(&store, "sessions.redb")), ("", (APP, APP, 0o600)));
        let check = ["check", "sessions.redb"];
        ends(&tool_as(&store, APP, &check).output().unwrap(), 0, &check);
    }
}

#[test]
fn a_store_of_another_user_is_not_replaced_by_one_that_its_program_could_not_open() {
    let Some(store) = store_of_app() else { return };
    fs::set_permissions(store.folder.path(), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(store.path("sessions.redb"), Permissions::from_mode(0o666)).unwrap();
    let before = fs::read(store.path("sessions.redb")).unwrap();
    let refused = tool_as(&store, OTHER, &RESTORE).output().unwrap();
    let (_, err) = ends(&refused, 2, &RESTORE);
    assert!(err.contains("could not keep the owner of"), "{err}");
    assert!(err.contains("as the user whose files these are"), "{err}");
    assert_eq!(fs::read(store.path("sessions.redb")).unwrap(), before);
    assert_eq!(owned(&store, "sessions.redb"), (APP, APP, 0o666));
    let left = fs::read_dir(store.folder.path()).unwrap().count();
    assert_eq!(left, ["sessions.redb", "backup.redb", TOOL].len());
}

#[test]
fn a_group_that_a_user_may_not_give_keeps_nobody_from_restoring_their_own_store() {
    let Some(store) = store_of_app() else { return };
    chown(store.path("sessions.redb"), Some(APP), Some(OTHER)).unwrap();
    let restored = tool_as(&store, APP, &RESTORE).output().unwrap();
    ends(&restored, 0, &RESTORE);
    assert_eq!(owned(&store, "sessions.redb"), (APP, APP, 0o600));
}

#[test]
fn a_door_that_its_caller_may_not_use_is_not_said_to_be_missing() {
    let Some(store) = store_of_app() else { return };
    fs::set_permissions(store.folder.path(), Permissions::from_mode(0o777)).unwrap();
    let open = store.opened();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    let watch = ["watch", "sessions.redb"];
    let (_, err) = ends(&tool_as(&store, OTHER, &watch).output().unwrap(), 2, &watch);
    assert!(err.contains("as the user whose files these are"), "{err}");
    assert!(!err.contains("serve_admin"), "{err}");
    // The file is of `APP`, and the program that has it open of root.
    let (_, err) = store.prints(2, &["revoke", "sessions.redb", "--all", "--yes"]);
    assert!(err.contains(&format!("of user {APP}")) && !err.contains("serve_admin"), "{err}");
    assert_eq!(open.len().unwrap(), 3);
}

#[test]
fn a_new_store_of_root_in_another_users_folder_is_warned_of() {
    let Some(store) = store_of_app() else { return };
    store.prints(0, &["export", "sessions.redb", "a.jsonl", "--with-content"]);
    for arguments in [
        &["restore", "backup.redb", "1.redb"][..],
        &["restore", "backup.redb", "2.redb", "--replace"],
        &["salvage", "backup.redb", "3.redb"],
        &["import", "a.jsonl", "4.redb", "--create"],
        &["copy", "backup.redb", "5.redb", "--create"],
    ] {
        let (_, err) = store.prints(0, arguments);
        assert!(err.contains(&format!("chown {APP} {}", arguments[2])), "{arguments:?}: {err}");
    }
    // These files are there already, and a backup is root's own.
    for arguments in [
        &["import", "a.jsonl", "4.redb"][..],
        &["copy", "backup.redb", "5.redb"],
        &["backup", "sessions.redb", "6.redb"],
    ] {
        assert_eq!(store.prints(0, arguments).1, "", "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_backup_and_an_archive_go_into_a_folder_that_their_user_may_not_list() {
    let Some(store) = store_of_app() else { return };
    fs::set_permissions(store.folder.path(), Permissions::from_mode(0o300)).unwrap();
    for (verb, name) in [("backup", "new.redb"), ("export", "archive"), ("salvage", "kept.redb")] {
        let arguments = [verb, "sessions.redb", name];
        ends(&tool_as(&store, APP, &arguments).output().unwrap(), 0, &arguments);
        assert_eq!(owned(&store, name), (APP, APP, 0o600));
    }
    ends(&tool_as(&store, APP, &RESTORE).output().unwrap(), 0, &RESTORE);
}
