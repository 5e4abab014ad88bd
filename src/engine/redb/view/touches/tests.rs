//! The touch buffer: which touches it holds, refuses and forgets.

use super::*;

fn key(number: u128) -> SessionKey {
    SessionKey::from_bytes(number.to_be_bytes())
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn touch(buffer: &TouchBuffer, number: u128, millis: u64) -> Receipt {
    match buffer.touch_if(&key(number), |_| (Some(at(millis)), ())) {
        Touched::Done((), Some(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_later_touch_stays() {
    let buffer = TouchBuffer::new();
    for millis in [5, 3] {
        let _ = touch(&buffer, 1, millis);
    }
    assert_eq!((buffer.pending(&key(1)), buffer.len()), (Some(at(5)), 1));
}

#[test]
fn a_look_sees_the_pending_touch_and_keeps_none_that_it_does_not_decide_on() {
    let buffer = TouchBuffer::new();
    let look = || buffer.touch_if(&key(1), |pending| (None, pending));
    assert_eq!(look(), Touched::Done(None, None));
    assert_eq!(buffer.len(), 0);
    let _ = touch(&buffer, 1, 5);
    assert_eq!(look(), Touched::Done(Some(at(5)), None));
    assert_eq!(buffer.pending(&key(1)), Some(at(5)));
}

#[test]
fn a_touch_later_than_the_written_one_is_not_forgotten() {
    let buffer = TouchBuffer::new();
    let _ = touch(&buffer, 1, 5);
    buffer.drop_written(&Touches::from_iter([(key(1), at(4))]), false);
    assert_eq!(buffer.pending(&key(1)), Some(at(5)));
    buffer.drop_written(&Touches::from_iter([(key(1), at(5))]), false);
    assert_eq!((buffer.pending(&key(1)), buffer.len()), (None, 0));
}

#[test]
fn what_is_taken_back_leaves_what_other_threads_told_of_the_session() {
    let buffer = TouchBuffer::new();
    let _ = touch(&buffer, 1, 5);
    let mine = touch(&buffer, 1, 9);
    buffer.settle(&key(1), mine, false);
    assert_eq!(buffer.pending(&key(1)), Some(at(5)));
    // Meanwhile another thread kept an earlier touch, one of the same millisecond, or a later
    // one, and its caller was answered.
    for others in [7, 9, 12] {
        let mine = touch(&buffer, 1, 9);
        let _ = touch(&buffer, 1, others);
        buffer.settle(&key(1), mine, false);
        assert_eq!(buffer.pending(&key(1)), Some(at(others.max(9))));
    }
    let mine = touch(&buffer, 2, 5);
    buffer.settle(&key(2), mine, false);
    assert_eq!((buffer.pending(&key(2)), buffer.len()), (None, 1));
}

#[test]
fn a_flush_takes_along_no_touch_of_a_save_that_is_undecided() {
    let buffer = TouchBuffer::new();
    let announce = |millis| match buffer.announce_save_if(&key(1), |_| (Some(at(millis)), ())) {
        Touched::Done((), Some(receipt)) => receipt,
        other => panic!("{other:?}"),
    };
    let mine = announce(5);
    assert_eq!((buffer.pending(&key(1)), buffer.take_along()), (Some(at(5)), vec![]));
    buffer.settle(&key(1), mine, false);
    // The earlier touch is another thread's, and was answered.
    let _ = touch(&buffer, 1, 3);
    let (first, second) = (announce(5), announce(7));
    assert_eq!(buffer.pending(&key(1)), Some(at(7)));
    assert_eq!(buffer.take_along(), [(key(1), at(3))]);
    buffer.settle(&key(1), first, false);
    buffer.settle(&key(1), second, true);
    assert_eq!(buffer.take_along(), [(key(1), at(7))]);
    // A later touch is answered, whatever becomes of the save before it.
    let mine = announce(9);
    let _ = touch(&buffer, 1, 10);
    assert_eq!(buffer.take_along(), [(key(1), at(10))]);
    buffer.settle(&key(1), mine, false);
    assert!(buffer.shard(&key(1)).lock().announced.is_empty());
}

#[test]
fn a_condemned_session_takes_no_touch_until_it_is_released() {
    let buffer = TouchBuffer::new();
    let mut condemned = Condemned::new(&buffer);
    assert!(buffer.condemn_if(&key(1), |pending| pending.is_none()));
    condemned.push(key(1));
    let refused = buffer.touch_if(&key(1), |_| (Some(at(5)), ()));
    assert_eq!(refused, Touched::Condemned);
    let announced = buffer.announce_if(&key(1), |_| (Some(at(5)), ()));
    let Touched::Done((), Some(receipt)) = announced else { panic!("{announced:?}") };
    assert_eq!(buffer.pending(&key(1)), Some(at(5)), "it waits in the queue");
    buffer.settle(&key(1), receipt, false);
    drop(condemned);
    let _ = touch(&buffer, 1, 5);
    assert!(!buffer.condemn_if(&key(1), |pending| pending.is_none()));
}

#[test]
fn a_full_buffer_takes_touches_of_what_it_holds_and_no_others() {
    let buffer = TouchBuffer::new();
    for number in 0..CAPACITY {
        // Spread over all bits, as digests are.
        let spread = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let _ = touch(&buffer, spread, 1);
    }
    let refused = buffer.touch_if(&key(u128::MAX), |_| (Some(at(1)), ()));
    assert_eq!(refused, Touched::Full);
    let _ = touch(&buffer, 0, 2);
    assert_eq!(buffer.len(), CAPACITY);
    let all = buffer.take_along();
    assert!(all.is_sorted() && all.len() == CAPACITY);
}

#[test]
fn the_buffer_tells_how_long_its_oldest_touch_waits_and_which_were_late() {
    let buffer = TouchBuffer::new();
    assert_eq!(buffer.told(), Pending::default());
    buffer.promise(Duration::from_millis(1));
    let _ = touch(&buffer, 1, 5);
    std::thread::sleep(Duration::from_millis(30));
    let _ = touch(&buffer, 1, 6);
    let _ = touch(&buffer, 2, 6);
    assert!(buffer.told().oldest.is_some_and(|oldest| oldest >= Duration::from_millis(29)));
    buffer.take_along();
    let _ = touch(&buffer, 1, 9);
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
    let _ = touch(&buffer, 1, 5);
    buffer.close();
    for number in [1, 2] {
        let refused = buffer.touch_if(&key(number), |_| (Some(at(6)), ()));
        assert_eq!(refused, Touched::Condemned);
        let refused = buffer.announce_if(&key(number), |_| (Some(at(6)), ()));
        assert_eq!(refused, Touched::Condemned);
    }
    assert_eq!(buffer.take_along(), [(key(1), at(5))]);
}
