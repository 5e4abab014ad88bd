//! Whose program the tool goes to, and what it says of a door that does not let it in.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sessile::admin::AdminSocket;
use sessile::engine::{Engine, MemoryEngine, Moment, Record};
use sessile::{SessionKey, SessionStore};

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

/// An engine in which these sessions end as soon as one is looked at by its key.
#[derive(Debug, Default)]
struct Ending {
    inner: MemoryEngine,
    next: Mutex<Vec<SessionKey>>,
}

impl Engine for Ending {
    fn load(&self, key: &SessionKey, moment: Moment) -> sessile::Result<Option<Record>> {
        for next in std::mem::take(&mut *self.next.lock().unwrap()) {
            self.inner.remove(&next, None, moment)?;
        }
        self.inner.load(key, moment)
    }

    sessile::forward_engine!(inner, but load);
}

/// As in a busy store, whose latest sessions come first and are short.
#[test]
fn a_list_has_as_many_sessions_as_there_are_though_the_first_end_before_they_are_printed() {
    let engine = Arc::new(Ending::default());
    let open = SessionStore::<u32>::builder().engine(Arc::clone(&engine)).manual_maintenance();
    let open = open.build().unwrap();
    (0..1_010).for_each(|number| drop(open.create(number).unwrap()));
    let store = Store::of(0);
    open.serve_admin(AdminSocket::at(store.path("door"))).unwrap();
    let listed = |limit: &str| -> Vec<SessionKey> {
        let (out, _) = store.prints(0, &["list", "door", "--json", "--limit", limit]);
        let sessions = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        sessions.map(|session| session["key"].as_str().unwrap().parse().unwrap()).collect()
    };
    let all = listed("2000");
    assert_eq!(all.len(), 1_010);
    for (ended, expected) in [(..3, 3..6), (..1_007, 1_007..1_010), (..1_009, 1_009..1_010)] {
        *engine.next.lock().unwrap() = all[ended].to_vec();
        assert_eq!(listed("3"), all[expected]);
    }
}
