//! A salvage under way: how far it is, its end before its time, and the files that it leaves alone.

use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sessile::{Error, Salvage, SalvageProgress, SalvageStep, salvage};

use super::{Damaged, open};

#[test]
fn a_salvage_replaces_nothing_and_leaves_nothing_behind() {
    let file = Damaged::new();
    let new = file.new_path();
    fs::write(&new, b"precious").unwrap();
    assert!(matches!(salvage(file.path(), &new), Err(Error::Io { .. })));
    assert_eq!(fs::read(&new).unwrap(), b"precious");
    fs::remove_file(&new).unwrap();

    for bytes in [vec![], b"To whom it may concern".to_vec(), vec![0; 100_000]] {
        fs::write(file.path(), bytes).unwrap();
        let error = salvage(file.path(), &new).unwrap_err();
        assert!(matches!(error, Error::NotASessionStore { .. }), "{error:?}");
        assert_eq!(file.names(), ["sessions.redb"]);
    }
    #[cfg(unix)]
    {
        let pipe = file.folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(salvage(&pipe, &new), Err(Error::NotARegularFile { .. })));
        fs::remove_file(pipe).unwrap();
    }
    let error = salvage(file.folder.path().join("missing.redb"), &new).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert_eq!(file.names(), ["sessions.redb"]);
}

/// Both code paths of a salvage: for a file that opens, and for one that does not.
fn ways() -> [Damaged; 2] {
    let (sound, marked) = (Damaged::new(), Damaged::new());
    marked.destroy_marks();
    [sound, marked]
}

#[test]
fn a_salvage_tells_how_far_it_is_and_each_step_comes_to_its_end() {
    for (file, last) in ways().into_iter().zip([SalvageStep::Sessions, SalvageStep::Pages]) {
        let mut told: Vec<SalvageProgress> = Vec::new();
        let salvage = Salvage::new();
        let report = salvage.run_with(file.path(), file.new_path(), |progress| {
            told.push(progress);
            ControlFlow::Continue(())
        });
        assert_eq!(report.unwrap().kept, file.live.len() as u64);
        let copied = told.iter().rfind(|told| told.step == SalvageStep::Copying).unwrap();
        assert_eq!(copied.done, fs::metadata(file.path()).unwrap().len());
        assert_eq!(copied.total, Some(copied.done));
        let end = told.last().unwrap();
        assert_eq!((end.step, end.total), (last, Some(end.done)));
        for pair in told.windows(2).filter(|pair| pair[0].step == pair[1].step) {
            assert!(pair[0].done < pair[1].done, "{pair:?}");
        }
    }
}

#[test]
fn a_salvage_that_is_called_off_at_any_time_leaves_nothing_behind() {
    for file in ways() {
        for at in (0..).step_by(37) {
            let mut calls = 0;
            let result = Salvage::new().run_with(file.path(), file.new_path(), |_| {
                calls += 1;
                if calls > at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match result {
                Ok(report) => {
                    assert!(calls <= at && report.kept > 0);
                    break;
                }
                Err(Error::CalledOff { action: "salvage" }) => {
                    assert_eq!(calls, at + 1, "it goes on after it was called off");
                }
                Err(error) => panic!("{error:?}"),
            }
            assert_eq!(file.names(), ["sessions.redb"]);
        }
    }
}

#[test]
fn a_panic_of_who_is_told_goes_on_and_leaves_nothing_behind() {
    for file in ways() {
        for step in [SalvageStep::Copying, SalvageStep::Sessions] {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                Salvage::new().run_with(file.path(), file.new_path(), |told| {
                    assert!(told.step != step, "the caller's own");
                    ControlFlow::Continue(())
                })
            }));
            let message = panicked.unwrap_err();
            assert_eq!(*message.downcast_ref::<&str>().unwrap(), "the caller's own");
            assert_eq!(file.names(), ["sessions.redb"]);
        }
        assert!(salvage(file.path(), file.new_path()).unwrap().kept > 0);
    }
}

#[test]
fn a_salvage_leaves_every_other_file_alone_the_damaged_one_above_all() {
    let file = Damaged::new();
    let place = |name: &str| file.folder.path().join(name);
    // The damaged or the rescued file may have a name derived from the new file's name.
    for (damaged, new) in [("t.new", "t"), ("u.copy", "u"), ("v.redb", "v.redb.new")] {
        fs::copy(file.path(), place(damaged)).unwrap();
        if damaged != "u.copy" {
            fs::write(place(&format!("{new}.copy")), b"somebody's").unwrap();
        }
        let before = fs::read(place(damaged)).unwrap();
        let kept = salvage(place(damaged), place(new)).unwrap().kept;
        assert_eq!(kept, file.live.len() as u64, "{damaged}");
        assert!(fs::read(place(damaged)).unwrap() == before, "{damaged}");
        assert_eq!(
            fs::read(place(&format!("{new}.copy"))).unwrap(),
            match new {
                "u" => before,
                _ => b"somebody's".to_vec(),
            }
        );
    }
    // The rescued store waits under this name, and the program is started before it is moved.
    let rescued = fs::read(place("v.redb.new")).unwrap();
    fs::remove_file(place("v.redb")).unwrap();
    drop(open(&place("v.redb")));
    assert!(fs::read(place("v.redb.new")).unwrap() == rescued);
    assert_eq!(file.count(&open(&place("v.redb.new")), &file.live), file.live.len());
}

#[test]
fn what_comes_to_the_new_place_while_a_salvage_runs_is_not_replaced() {
    let file = Damaged::new();
    let new = file.new_path();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Once the draft is there; the salvage checked the name before it created the draft.
            while file.names().len() == 1 && !over.load(std::sync::atomic::Ordering::Relaxed) {}
            let _ = fs::OpenOptions::new().write(true).create_new(true).open(&new);
        });
        let result = salvage(file.path(), &new);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        // Whichever was first.
        match result {
            Ok(report) => assert_eq!(report.kept, file.live.len() as u64),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "{error:?}");
                assert_eq!(fs::metadata(&new).unwrap().len(), 0);
            }
        }
    });
    assert_eq!(file.names(), ["new.redb", "sessions.redb"]);
}
