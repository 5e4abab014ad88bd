//! The door of a program that changes its working directory, and of one whose records are damaged.

use std::env;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use sessile::admin::{AdminSocket, RunningStore};
use sessile::{Error, Event, Inspector, MemoryEngine, SessionStore};

use super::transfer::Damaged;
use super::{folder, store_at};
use crate::child;

#[test]
fn a_damaged_record_that_is_read_through_the_door_is_counted_and_told() {
    let (folder, _) = folder();
    let door = folder.path().join("door");
    let inner = Arc::new(MemoryEngine::new());
    let filled = SessionStore::<u32>::builder().engine(inner.clone()).manual_maintenance();
    let filled = filled.build().unwrap();
    let key = filled.create_for_user("ann", 1).unwrap().key();
    filled.create(2).unwrap();

    let told: Arc<Mutex<Vec<_>>> = Arc::default();
    let tells = Arc::clone(&told);
    let observer = move |event: &Event| {
        if let Event::DamagedRecord { key } = event {
            tells.lock().unwrap().push(*key);
        }
    };
    let builder = SessionStore::<u32>::builder().engine(Damaged { inner, key }).observer(observer);
    let store = builder.manual_maintenance().build().unwrap();
    store.serve_admin(AdminSocket::at(&door)).unwrap();
    let inspector = Inspector::on(RunningStore::at(&door).unwrap()).unwrap();
    let mut damaged = 0;
    let visit = &mut |session: sessile::Result<_>| {
        damaged += usize::from(matches!(session, Err(Error::DamagedRecord { .. })));
        Ok(ControlFlow::Continue(()))
    };
    inspector.sessions(None, visit).unwrap();
    assert_eq!(damaged, 1);
    assert!(matches!(inspector.session(&key), Err(Error::DamagedRecord { .. })));
    assert_eq!(store.stats().unwrap().damaged_records, 2);
    assert_eq!(*told.lock().unwrap(), [key, key]);
}

/// Set in a child process, whose working directory no other test uses.
const CHILD: &str = "SESSILE_TEST_ANOTHER_DIRECTORY";

#[test]
fn a_door_stays_at_its_path_when_the_program_changes_its_working_directory() {
    if env::var_os(CHILD).is_some() {
        let home = env::current_dir().unwrap();
        let door = home.join("s.redb.admin");
        let store = store_at("s.redb".as_ref());
        env::set_current_dir(env::temp_dir()).unwrap();
        store.serve_admin(AdminSocket::beside_file()).unwrap();
        assert!(AdminSocket::is_at(&door), "it is beside the file");
        store.close().unwrap();
        assert!(!door.exists());

        env::set_current_dir(&home).unwrap();
        let store = SessionStore::<u32>::in_memory().unwrap();
        store.serve_admin(AdminSocket::at("other")).unwrap();
        env::set_current_dir(env::temp_dir()).unwrap();
        store.close().unwrap();
        assert!(!home.join("other").exists(), "it was removed");
        return;
    }
    let (folder, _) = folder();
    let test = "operate::requests::a_door_stays_at_its_path_when_the_program_changes_its_working_directory";
    let mut child = child::running(test);
    let ended = child.env(CHILD, "1").current_dir(folder.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}
