//! Single requests through the door, and what they cost the program.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use sessile::admin::{AdminSocket, RunningStore};
use sessile::{Error, Event, Inspector, MemoryEngine, SessionStore};

use super::folder;
use super::transfer::Damaged;

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
