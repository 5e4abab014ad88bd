//! The touch buffer: which touches it holds, refuses and forgets.

use super::*;
use crate::record::{Parts, Record};
use crate::time::moment::Moment;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

fn key(number: u128) -> SessionKey {
    SessionKey::from_bytes(number.to_be_bytes())
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Checks a session, and keeps a touch; true if it was kept.
fn touch(buffer: &TouchBuffer, number: u128, millis: u64) -> bool {
    matches!(buffer.touch_if(&key(number), |_| (Some(at(millis)), ())), Touched::Done((), None))
}

fn announce(buffer: &TouchBuffer, number: u128, millis: u64) -> Option<Announcement<'_>> {
    match buffer.announce_if(&key(number), extension(millis), |_| (Some(at(millis)), ())) {
        Touched::Done((), announced) => announced,
        _ => None,
    }
}

/// A session since 0.
fn record() -> Record {
    let parts = Parts {
        user: None,
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision: 1,
        created_at: at(0),
        last_active: at(0),
        content_version: 0,
        content: &[],
    };
    Record::new(&parts, &timeouts()).unwrap()
}

fn timeouts() -> Timeouts {
    Timeouts::from_seconds(1, 1_000).unwrap()
}

fn moment(millis: u64) -> Moment {
    Moment { now: at(millis), timeouts: timeouts() }
}

fn extension(millis: u64) -> Extension {
    Extension { moment: moment(millis), at: at(millis), save: None }
}

fn last_active(activity: &Activity) -> Timestamp {
    let mut record = record();
    activity.touch(&mut record, || moment(0));
    record.last_active()
}

/// What readers see of a session's activity.
fn seen(buffer: &TouchBuffer, number: u128) -> Option<Timestamp> {
    Some(last_active(&buffer.activity(&key(number)))).filter(|seen| *seen > at(0))
}

#[test]
fn the_later_touch_stays() {
    let buffer = TouchBuffer::new();
    for millis in [5, 3] {
        assert!(touch(&buffer, 1, millis));
    }
    assert_eq!((seen(&buffer, 1), buffer.len()), (Some(at(5)), 1));
}

#[test]
fn a_look_sees_the_pending_touch_and_keeps_none_that_it_does_not_decide_on() {
    let buffer = TouchBuffer::new();
    let look = || match buffer.touch_if(&key(1), |activity| (None, activity.pending)) {
        Touched::Done(pending, None) => pending,
        other => panic!("{other:?}"),
    };
    assert_eq!(look(), None);
    assert_eq!(buffer.len(), 0);
    assert!(touch(&buffer, 1, 5));
    assert_eq!(look(), Some(at(5)));
    assert_eq!(seen(&buffer, 1), Some(at(5)));
}

#[test]
fn a_touch_later_than_the_written_one_is_not_forgotten() {
    let buffer = TouchBuffer::new();
    assert!(touch(&buffer, 1, 5));
    buffer.drop_written(&Touches::from_iter([(key(1), at(4))]), false);
    assert_eq!(seen(&buffer, 1), Some(at(5)));
    buffer.drop_written(&Touches::from_iter([(key(1), at(5))]), false);
    assert_eq!((seen(&buffer, 1), buffer.len()), (None, 0));
}

#[test]
fn what_was_announced_ends_with_its_call_and_leaves_what_other_threads_told() {
    let buffer = TouchBuffer::new();
    assert!(touch(&buffer, 1, 5));
    drop(announce(&buffer, 1, 9).unwrap());
    assert_eq!(seen(&buffer, 1), Some(at(5)));
    // Meanwhile another thread kept an earlier touch, one of the same millisecond, or a later
    // one, and its caller was answered.
    for others in [7, 9, 12] {
        let mine = announce(&buffer, 1, 9).unwrap();
        assert!(touch(&buffer, 1, others));
        assert_eq!(seen(&buffer, 1), Some(at(others.max(9))));
        drop(mine);
        assert_eq!(seen(&buffer, 1), Some(at(others)));
    }
    // Two saves wait, and the later one is refused first.
    let (first, second) = (announce(&buffer, 2, 5).unwrap(), announce(&buffer, 2, 7).unwrap());
    drop(second);
    assert_eq!((seen(&buffer, 2), buffer.len()), (Some(at(5)), 2));
    drop(first);
    assert_eq!((seen(&buffer, 2), buffer.len()), (None, 1));
}

#[test]
fn a_flush_takes_along_no_activity_that_is_only_announced() {
    let buffer = TouchBuffer::new();
    let _mine = announce(&buffer, 1, 5).unwrap();
    let _presumed = buffer.presume(&key(1), extension(6));
    assert_eq!((seen(&buffer, 1), buffer.take_along()), (Some(at(6)), vec![]));
    assert!(touch(&buffer, 1, 3));
    assert_eq!(buffer.take_along(), [(key(1), at(3))]);
    assert_eq!(seen(&buffer, 1), Some(at(6)));
}

#[test]
fn presumed_activity_counts_if_the_session_is_live_at_its_moment() {
    let buffer = TouchBuffer::new();
    let late = buffer.presume(&key(1), extension(1_000));
    assert_eq!(last_active(&buffer.activity(&key(1))), at(0), "it had expired");
    // With this one before it, the session lives for the other, too.
    let early = buffer.presume(&key(1), extension(999));
    assert_eq!(last_active(&buffer.activity(&key(1))), at(1_000));
    assert_eq!(last_active(&buffer.activity(&key(2))), at(0), "it is another's");
    drop(early);
    assert!(touch(&buffer, 1, 500));
    assert_eq!(last_active(&buffer.activity(&key(1))), at(1_000));
    drop(late);
    assert_eq!(last_active(&buffer.activity(&key(1))), at(500));
}

#[test]
fn a_condemned_session_takes_no_touch_until_it_is_released() {
    let buffer = TouchBuffer::new();
    let mut condemned = Condemned::new(&buffer);
    assert!(buffer.condemn_if(&key(1), |activity| activity.pending.is_none()));
    condemned.push(key(1));
    let refused = buffer.touch_if(&key(1), |_| (Some(at(5)), ()));
    assert!(matches!(refused, Touched::Condemned), "{refused:?}");
    let announced = announce(&buffer, 1, 5).unwrap();
    assert_eq!(seen(&buffer, 1), Some(at(5)), "it waits in the queue");
    drop(announced);
    drop(condemned);
    assert!(touch(&buffer, 1, 5));
    assert!(!buffer.condemn_if(&key(1), |activity| activity.pending.is_none()));
}

#[test]
fn a_full_buffer_takes_touches_of_what_it_holds_and_no_others() {
    let buffer = TouchBuffer::new();
    for number in 0..CAPACITY {
        // Spread over all bits, as digests are.
        let spread = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        assert!(touch(&buffer, spread, 1));
    }
    let refused = buffer.touch_if(&key(u128::MAX), |_| (Some(at(1)), ()));
    assert!(matches!(refused, Touched::Full), "{refused:?}");
    assert!(touch(&buffer, 0, 2));
    assert_eq!(buffer.len(), CAPACITY);
    let all = buffer.take_along();
    assert!(all.is_sorted() && all.len() == CAPACITY);
}

#[test]
fn the_buffer_tells_how_long_its_oldest_touch_waits_and_which_were_late() {
    let buffer = TouchBuffer::new();
    assert_eq!(buffer.told(), Pending::default());
    buffer.promise(Duration::from_millis(1));
    assert!(touch(&buffer, 1, 5));
    std::thread::sleep(Duration::from_millis(30));
    assert!(touch(&buffer, 1, 6));
    assert!(touch(&buffer, 2, 6));
    assert!(buffer.told().oldest.is_some_and(|oldest| oldest >= Duration::from_millis(29)));
    buffer.take_along();
    assert!(touch(&buffer, 1, 9));
    buffer.drop_written(&Touches::from_iter([(key(1), at(6)), (key(3), at(6))]), false);
    let (late, latest) = buffer.told().late;
    assert!(late == 1 && latest >= Duration::from_millis(28), "{late}, {latest:?}");
    buffer.forget(&key(1));
    buffer.forget(&key(2));
    assert_eq!(buffer.told().oldest, None, "what is gone was not late");
}

#[test]
fn a_closed_buffer_takes_no_touch_and_keeps_those_that_it_has() {
    let buffer = TouchBuffer::new();
    assert!(touch(&buffer, 1, 5));
    buffer.close();
    for number in [1, 2] {
        let refused = buffer.touch_if(&key(number), |_| (Some(at(6)), ()));
        assert!(matches!(refused, Touched::Condemned), "{refused:?}");
        assert!(announce(&buffer, number, 6).is_none());
    }
    assert_eq!(buffer.take_along(), [(key(1), at(5))]);
}
