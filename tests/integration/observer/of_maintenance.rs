//! What is told of maintenance: the causes of its failures.

use std::sync::Arc;
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine};
use sessile::{Error, Event, Result, SessionStore};

use super::{telling, wait_for};

#[test]
fn a_failure_in_the_background_is_told_with_its_cause_on_one_line() {
    #[derive(Debug)]
    struct Refused(MemoryEngine);
    impl Engine for Refused {
        fn flush(&self) -> Result<()> {
            let source = Arc::new(std::io::Error::other("the password\nis refused"));
            Err(Error::Unavailable { server: "postgres://db".into(), source })
        }
        sessile::forward_engine!(0, but flush);
    }
    let (told, observer) = telling();
    let builder = SessionStore::<u32>::builder().touch_interval(Duration::from_millis(4));
    let store = builder.observer(observer).engine(Refused(MemoryEngine::new())).build().unwrap();
    wait_for(&told, |event| matches!(event, Event::MaintenanceFailed { .. }));
    let expected =
        "postgres://db cannot be used; nothing was changed: the password\\nis refused";
    wait_for(&told, |event| event.to_string().ends_with(expected));
    let stats = serde_json::to_value(store.stats().unwrap()).unwrap();
    assert_eq!(stats["last_maintenance_failure"], expected);
}
