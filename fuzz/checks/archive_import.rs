//! What holds for any bytes as an archive: it is refused before anything is changed, or what is
//! imported is what the report says, and a sound store that goes out and comes back.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;

use sessile::admin::{ImportOptions, ImportReport, LeaveOut};
use sessile::engine::{Engine, MemoryEngine};
use sessile::testing::ManualClock;
use sessile::{Error, Inspector, Result};

pub(crate) fn check(bytes: &[u8]) {
    let (whole, strict) = import(bytes, false);
    match &strict {
        Ok(report) => assert!(report.fault.is_none()),
        Err(Error::InvalidArchive { .. }) => {
            assert_eq!(whole.stats().expect("a store in memory").stored, 0, "it was changed");
        }
        Err(error) => panic!("another error than the archive's: {error:?}"),
    }
    let (part, partial) = import(bytes, true);
    match (&strict, &partial) {
        (Ok(all), Ok(some)) => assert_eq!(all.imported, some.imported),
        (Ok(_), Err(error)) => panic!("refused in part, and not as a whole: {error:?}"),
        (Err(_), _) => {}
    }
    for (engine, report) in [(whole, strict), (part, partial)] {
        let Ok(report) = report else { continue };
        let stored = engine.stats().expect("a store in memory").stored;
        assert_eq!(stored, report.imported);
        let inspector = inspector(&engine);
        assert!(inspector.check().expect("a store in memory").is_sound());
        let mut archive = Vec::new();
        let leave_out = LeaveOut::nothing();
        let go_on = &mut |_| ControlFlow::Continue(());
        inspector.export(&mut archive, true, &leave_out, go_on).expect("a sound store");
        let (again, report) = import(&archive, false);
        assert_eq!(report.expect("what was exported").imported, stored);
        assert_eq!(again.stats().expect("a store in memory").stored, stored);
    }
}

fn inspector(engine: &Arc<MemoryEngine>) -> Inspector {
    let inspector = Inspector::on(Arc::clone(engine)).expect("a store in memory");
    inspector.with_clock(ManualClock::new())
}

fn import(bytes: &[u8], partial: bool) -> (Arc<MemoryEngine>, Result<ImportReport>) {
    let engine = Arc::new(MemoryEngine::new());
    let options = ImportOptions::default().partial(partial);
    let go_on = &mut |_| ControlFlow::Continue(());
    let report = inspector(&engine).import(&mut Cursor::new(bytes), &options, go_on);
    (engine, report)
}
