//! Whose program the tool goes to, and what it says of a door that does not let it in.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use sessile::admin::AdminSocket;

use crate::Store;

#[test]
fn a_link_beside_a_file_leads_the_tool_to_no_other_store() {
    let (mine, others) = (Store::of(1), Store::of(2));
    let (my_store, others_store) = (mine.opened(), others.opened());
    others_store.serve_admin(AdminSocket::beside_file()).unwrap();
    symlink(others.path("sessions.redb.admin"), mine.path("sessions.redb.admin")).unwrap();
    let revoke = ["revoke", "sessions.redb", "--all", "--yes"];
    let (_, err) = mine.prints(2, &revoke);
    assert!(err.contains("symbolic link"), "{err}");
    assert!(mine.prints(2, &["watch", "sessions.redb"]).1.contains("symbolic link"));
    assert_eq!((my_store.len().unwrap(), others_store.len().unwrap()), (1, 2));
    // Nor does a link whose name is given, or one in the place of the file.
    symlink(others.path("sessions.redb.admin"), mine.path("moved.redb")).unwrap();
    for named in ["sessions.redb.admin", "moved.redb"] {
        assert!(mine.prints(2, &["stats", named]).1.contains("link"), "{named}");
        mine.prints(2, &["revoke", named, "--all", "--yes"]);
        assert_eq!(others_store.len().unwrap(), 2);
    }
    fs::remove_file(mine.path("sessions.redb.admin")).unwrap();
    my_store.serve_admin(AdminSocket::beside_file()).unwrap();
    mine.prints(0, &revoke);
    assert_eq!((my_store.len().unwrap(), others_store.len().unwrap()), (0, 2));
}

#[test]
fn who_finds_no_room_behind_a_door_or_no_file_is_not_told_to_open_a_door() {
    let store = Store::of(1);
    let open = store.opened();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client =
                BufReader::new(UnixStream::connect(store.path("sessions.redb.admin")).unwrap());
            client.read_line(&mut String::new()).unwrap();
            client
        })
        .collect();
    for arguments in [["stats", "sessions.redb"], ["watch", "sessions.redb"]] {
        let (_, err) = store.prints(2, &arguments);
        assert!(err.contains("client") && !err.contains("serve_admin"), "{err}");
    }
    drop(clients);
    let (_, err) = store.prints(2, &["watch", "nope.redb"]);
    assert!(err.contains("check the path") && !err.contains("serve_admin"), "{err}");
}

/// Such a copy would bring back what ends between its reading and its writing.
#[test]
fn a_store_is_not_copied_into_itself_through_its_programs_door() {
    let store = Store::of(1);
    let open = store.opened();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    let (file, door) = ("sessions.redb", "sessions.redb.admin");
    for [from, to] in [[file, file], [door, door], [file, door], [door, file]] {
        let (_, err) = store.prints(2, &["copy", from, to]);
        assert!(err.contains("are the same store"), "{from} {to}: {err}");
    }
    let other = Store::of(2);
    let other = other.path(file);
    store.prints(1, &["copy", other.to_str().unwrap(), door]);
    assert_eq!(open.len().unwrap(), 3);
}
