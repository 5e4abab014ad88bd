//! Chooses a store's clock: the one in the settings, else that of the server with the sessions,
//! else this machine's.
//!
//! Invariant: all hosts of a store on a server use one clock, whatever their own clocks show. A
//! host with a fast clock would end sessions early, and sweep them for good.

use std::sync::Arc;
use std::time::SystemTime;

use crate::engine::contract::Engine;
use crate::time::clock::{Clock, SystemClock};

/// The clock of an engine's server.
#[derive(Debug)]
struct ServerClock {
    engine: Arc<dyn Engine>,
}

impl Clock for ServerClock {
    fn now(&self) -> SystemTime {
        match self.engine.server_time() {
            Ok(Some(time)) => time.to_system_time(),
            // A closed engine refuses the call that asked for the time, whatever the time is.
            Ok(None) | Err(_) => SystemClock.now(),
        }
    }
}

/// Returns the clock of a store, whose sessions are on a server or not.
pub(super) fn chosen(
    named: Option<Arc<dyn Clock>>,
    engine: &Arc<dyn Engine>,
    on_server: bool,
) -> Arc<dyn Clock> {
    match (named, on_server) {
        (Some(clock), _) => clock,
        (None, true) => Arc::new(ServerClock { engine: Arc::clone(engine) }),
        (None, false) => Arc::new(SystemClock),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::engine::memory::MemoryEngine;
    use crate::error::Result;
    use crate::store::SessionStore;
    use crate::time::clock::Timestamp;

    /// An engine whose server has its own time.
    #[derive(Debug)]
    struct Elsewhere {
        inner: MemoryEngine,
        millis: Arc<AtomicU64>,
    }

    impl Engine for Elsewhere {
        fn server_time(&self) -> Result<Option<Timestamp>> {
            Ok(Some(Timestamp::from_millis(self.millis.load(Ordering::SeqCst))))
        }

        crate::forward_engine!(inner, but server_time);
    }

    #[test]
    fn the_servers_clock_decides_unless_one_is_named() {
        let millis = Arc::new(AtomicU64::new(77_000));
        let open = || Elsewhere { inner: MemoryEngine::new(), millis: Arc::clone(&millis) };
        let builder = SessionStore::<u32>::builder().engine(open()).manual_maintenance();
        let store = builder.build().unwrap();
        let session = store.create(1).unwrap();
        let created = session.created_at().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(created.as_millis(), 77_000);
        millis.store(77_000 + 16 * 60 * 1_000, Ordering::SeqCst);
        assert!(
            store.read(session.id()).unwrap().is_none(),
            "a quarter of an hour has passed there"
        );

        let named = SystemClock;
        let builder = SessionStore::<u32>::builder().engine(open()).manual_maintenance();
        let store = builder.clock(named).build().unwrap();
        assert!(store.create(1).unwrap().created_at() > session.created_at());
    }
}
