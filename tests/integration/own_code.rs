//! A store may be used from inside the caller's own code that it calls: the content's `Serialize`
//! and `Deserialize`, and the clock. No lock is held then.

use std::cell::{Cell, OnceCell};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sessile::{Clock, Error, SessionStore};

thread_local! {
    /// Whether this thread is inside such code already.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The store of this thread's test, for code that gets no argument.
    static STORE: OnceCell<SessionStore<Content>> = const { OnceCell::new() };
}

type Content = Reentrant;

/// Makes most calls of the store, unless this thread is making them already.
fn use_store(store: &SessionStore<Content>) {
    if !INSIDE.replace(true) {
        let used = calls(store);
        assert!(matches!(used, Ok(()) | Err(Error::Closed)), "{used:?}");
        INSIDE.set(false);
    }
}

/// Makes them in the store of this thread's test, if it has one.
fn use_own_store() {
    STORE.with(|store| store.get().cloned()).iter().for_each(use_store);
}

fn calls(store: &SessionStore<Content>) -> sessile::Result<()> {
    let mut session = store.create_for_user("bob", Reentrant(7))?;
    store.update(&mut session)?;
    store.regenerate_id(&mut session)?;
    assert!(store.read_and_extend(session.id())?.is_some());
    assert!(store.modify(session.id(), |it| it.content_mut().0 += 1)?.is_some());
    store.for_each(|_, _| ())?;
    store.sessions_of("bob")?;
    store.clean_up_expired()?;
    store.flush()?;
    store.stats()?;
    assert!(store.destroy(session.id())?);
    Ok(())
}

#[derive(Clone, Debug, PartialEq)]
struct Reentrant(u32);

impl Serialize for Reentrant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use_own_store();
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Reentrant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use_own_store();
        u32::deserialize(from).map(Self)
    }
}

#[derive(Debug)]
struct AsksTheStore(Arc<OnceLock<SessionStore<Content>>>);

impl Clock for AsksTheStore {
    #[allow(clippy::disallowed_methods, reason = "it is a clock")]
    fn now(&self) -> SystemTime {
        self.0.get().into_iter().for_each(use_store);
        SystemTime::now()
    }
}

/// Runs what may wait for ever in its own thread, and fails if it does.
fn ends(act: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || {
        act();
        done.send(()).unwrap();
    });
    let thread = thread.unwrap();
    let ended = is_done.recv_timeout(std::time::Duration::from_secs(300));
    assert_ne!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "it waits for ever");
    thread.join().unwrap();
}

#[test]
fn content_may_use_its_own_store_while_it_is_encoded_and_decoded() {
    ends(|| {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::open(folder.path().join("sessions.redb")).unwrap();
        assert!(STORE.with(|own| own.set(store.clone())).is_ok());
        let mut session = store.create_for_user("ann", Reentrant(1)).unwrap();
        session.content_mut().0 = 2;
        store.update(&mut session).unwrap();
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), Reentrant(2));
        store.modify(session.id(), |it| it.content_mut().0 = 3).unwrap().unwrap();
        let mut seen = Vec::new();
        store.for_each(|_, content| seen.push(content)).unwrap();
        assert!(seen.contains(&Reentrant(3)));
        assert!(store.check().unwrap().is_sound());
        assert_eq!(store.len().unwrap(), 1);
        store.close().unwrap();
    });
}

#[test]
fn a_clock_may_use_the_store_that_asks_it() {
    ends(|| {
        let folder = tempfile::tempdir().unwrap();
        for path in [Some(folder.path().join("sessions.redb")), None] {
            let slot = Arc::new(OnceLock::new());
            let builder = SessionStore::builder().clock(AsksTheStore(Arc::clone(&slot)));
            let store = match path {
                Some(path) => builder.open(path),
                None => builder.in_memory(),
            };
            let store = store.unwrap();
            assert!(slot.set(store.clone()).is_ok());
            let mut session = store.create_for_user("ann", Reentrant(1)).unwrap();
            store.update(&mut session).unwrap();
            assert!(store.extend_lifetime(session.id()).unwrap());
            store.sessions_of("ann").unwrap();
            store.clean_up_expired().unwrap();
            assert!(store.check().unwrap().is_sound());
            assert_eq!(store.len().unwrap(), 1);
            store.close().unwrap();
        }
    });
}
