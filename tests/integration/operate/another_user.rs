//! The door's own look at who comes in, where the mode of the socket and its folder would let in
//! everybody, and a client's own look at whose door it has found.

use std::fs;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sessile::admin::{AdminSocket, RunningStore};

use super::{folder, store_at};

/// Names the door in the environment of a child process.
const DOOR: &str = "SESSILE_TEST_ANOTHER_USERS_DOOR";
const TEST: &str = "operate::another_user::a_client_of_another_user_gets_nothing_whatever_the_mode";
const NOBODY: u32 = 65_534;

/// This program, where every user may run it.
fn program_for_all(folder: &Path) -> PathBuf {
    let program = folder.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program
}

/// What the door says to a user at once.
fn heard(program: &Path, door: &Path, user: Option<u32>) -> String {
    let mut child = Command::new(program);
    child.args(["--exact", TEST, "--nocapture", "--test-threads=1"]).env(DOOR, door);
    child.current_dir("/");
    if let Some(user) = user {
        child.uid(user).gid(user);
    }
    let said = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let heard = said.split_once("heard <").and_then(|(_, rest)| rest.split_once('>'));
    heard.unwrap_or_else(|| panic!("it never came to the door: {said}")).0.to_owned()
}

#[test]
fn a_client_of_another_user_gets_nothing_whatever_the_mode() {
    if let Some(door) = std::env::var_os(DOOR) {
        let mut stream = UnixStream::connect(door).unwrap();
        let mut bytes = [0; 16];
        let len = stream.read(&mut bytes).unwrap_or(0);
        println!("heard <{}>", String::from_utf8_lossy(&bytes[..len]).escape_debug());
        return;
    }
    let (folder, path) = folder();
    let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
    if !is_root {
        eprintln!("skipped: only root can come as another user");
        return;
    }
    let program = program_for_all(folder.path());
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    let door = AdminSocket::path_beside(&path);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&door, Permissions::from_mode(0o777)).unwrap();
    assert!(heard(&program, &door, None).contains("hello"));
    assert_eq!(heard(&program, &door, Some(NOBODY)), "");
    assert!(heard(&program, &door, None).contains("hello"), "the door is open still");
}

#[test]
fn a_door_that_was_found_beside_a_file_is_no_link_and_its_program_is_of_the_files_owner() {
    let ((_folder, path), (_other_folder, other_path)) = (folder(), folder());
    let (store, other) = (store_at(&path), store_at(&other_path));
    other.serve_admin(AdminSocket::beside_file()).unwrap();
    let door = AdminSocket::path_beside(&path);
    symlink(AdminSocket::path_beside(&other_path), &door).unwrap();
    let refusal = || {
        let refused = RunningStore::beside(&path).unwrap_err();
        std::error::Error::source(&refused).unwrap().to_string()
    };
    assert!(refusal().contains("symbolic link"), "{}", refusal());
    let named = RunningStore::at(&door).unwrap_err();
    let named = std::error::Error::source(&named).unwrap().to_string();
    assert!(named.contains("symbolic link"), "{named}");
    assert!(
        !AdminSocket::is_at(&door) && AdminSocket::is_at(&AdminSocket::path_beside(&other_path))
    );

    fs::remove_file(&door).unwrap();
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    RunningStore::beside(&path).unwrap();
    if fs::metadata(&path).unwrap().uid() != 0 {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    chown(&path, Some(NOBODY), None).unwrap();
    assert!(refusal().contains("of user 65534"), "{}", refusal());
    RunningStore::at(&door).unwrap();
}
