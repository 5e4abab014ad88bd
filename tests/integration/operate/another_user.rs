//! The door's own look at who comes in, where the mode of the socket and its folder would let in
//! everybody.

use std::fs;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sessile::admin::AdminSocket;

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
