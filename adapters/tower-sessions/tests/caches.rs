//! Why the store is used without a `CachingSessionStore`, as the documentation says.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use sessile_tower_sessions::{Data, SessileStore};
use time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Result;
use tower_sessions::{CachingSessionStore, SessionStore};

/// A cache as tower-sessions' own `MemoryStore`: a `save` puts the record in.
#[derive(Debug, Default)]
struct Cache(Mutex<HashMap<Id, Record>>);

#[async_trait]
impl SessionStore for Cache {
    async fn save(&self, record: &Record) -> Result<()> {
        self.0.lock().unwrap().insert(record.id, record.clone());
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }

    async fn create(&self, record: &mut Record) -> Result<()> {
        self.save(record).await
    }
}

fn record() -> Record {
    let expiry_date = OffsetDateTime::now_utc() + Duration::hours(1);
    Record { id: Id::default(), data: Data::from([("user".into(), "ann".into())]), expiry_date }
}

#[tokio::test]
async fn a_cache_in_front_goes_on_with_a_session_that_has_ended() {
    let store = SessileStore::in_memory().unwrap();
    let store = store.with_user(|data| Some(data.get("user")?.as_str()?.into()));
    let cached = CachingSessionStore::new(Cache::default(), store.clone());
    let mut ended = record();
    cached.create(&mut ended).await.unwrap();
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 1);
    assert!(cached.load(&ended.id).await.unwrap().is_some());

    // A request in flight saves after the logout.
    cached.delete(&ended.id).await.unwrap();
    cached.save(&ended).await.unwrap();
    assert!(cached.load(&ended.id).await.unwrap().is_some());
    assert_eq!(store.load(&ended.id).await.unwrap(), None, "the store alone is right");
}

#[tokio::test]
async fn a_store_as_a_cache_gives_a_session_another_id_than_the_store_behind_it() {
    let [cache, store] = [(); 2].map(|()| SessileStore::in_memory().unwrap());
    let cached = CachingSessionStore::new(cache, store.clone());
    let mut record = record();
    cached.create(&mut record).await.unwrap();
    assert!(cached.load(&record.id).await.unwrap().is_some());
    assert_eq!(store.load(&record.id).await.unwrap(), None);
}
