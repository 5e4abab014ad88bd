//! The tests that tower-sessions has for a store by itself, run on this store, for each version.
//!
//! They are the tests of `memory-store/src/lib.rs` in <https://github.com/maxcountryman/tower-sessions>,
//! version 0.14.0 of `tower-sessions-memory-store`, rewritten. Two facts are added: a second `delete`
//! is no error, and an unknown id is not loaded.

macro_rules! trait_tests {
    ($version:ident, $core:ident) => {
        mod $version {
            use sessile_tower_sessions::SessileStore;
            use time::{Duration, OffsetDateTime};
            use $core::SessionStore as _;
            use $core::session::{Id, Record};

            fn record() -> Record {
                Record {
                    id: Id::default(),
                    data: Default::default(),
                    expiry_date: OffsetDateTime::now_utc() + Duration::minutes(30),
                }
            }

            #[tokio::test]
            async fn a_record_is_created() {
                let store = SessileStore::in_memory().unwrap();
                store.create(&mut record()).await.unwrap();
                assert_eq!(store.sessions().len().unwrap(), 1);
            }

            #[tokio::test]
            async fn a_saved_change_is_loaded() {
                let store = SessileStore::in_memory().unwrap();
                let mut record = record();
                store.create(&mut record).await.unwrap();
                record.data.insert("key".into(), "value".into());
                store.save(&record).await.unwrap();
                assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
            }

            #[tokio::test]
            async fn a_record_comes_back_as_it_was_created() {
                let store = SessileStore::in_memory().unwrap();
                let mut record = record();
                store.create(&mut record).await.unwrap();
                assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
            }

            #[tokio::test]
            async fn a_deleted_record_is_not_loaded() {
                let store = SessileStore::in_memory().unwrap();
                let mut record = record();
                store.create(&mut record).await.unwrap();
                store.delete(&record.id).await.unwrap();
                assert_eq!(store.load(&record.id).await.unwrap(), None);
                store.delete(&record.id).await.unwrap();
            }

            #[tokio::test]
            async fn two_records_of_one_id_become_two_sessions() {
                let store = SessileStore::in_memory().unwrap();
                let mut first = record();
                store.create(&mut first).await.unwrap();
                let mut second = first.clone();
                second.data.insert("key".into(), "second".into());
                store.create(&mut second).await.unwrap();
                assert_ne!(first.id, second.id);
                assert_eq!(store.load(&first.id).await.unwrap(), Some(first));
                assert_eq!(store.load(&second.id).await.unwrap(), Some(second));
            }

            #[tokio::test]
            async fn an_unknown_id_is_not_loaded() {
                let store = SessileStore::in_memory().unwrap();
                assert_eq!(store.load(&Id::default()).await.unwrap(), None);
                assert_eq!(store.load(&Id(i128::MIN)).await.unwrap(), None);
            }
        }
    };
}

trait_tests!(v0_14, tower_sessions_0_14);
trait_tests!(v0_15, tower_sessions);
