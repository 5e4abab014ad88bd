//! Connections that break, are refused, have ended or are one too many; and wrong URLs.

use std::ops::ControlFlow;
use std::time::Duration;

use sessile::Error;
use sessile::engine::{Engine, Insert, Limits};
use sessile::testing::{EngineFixture, NetworkFault, Proxy, Way};

use super::bench::Bench;
use super::operations::operations;
use super::{key, moment, sample};
use crate::instances::wait_until;
use crate::places::{On, Place, address_of, behind, with_parameter};

pub(crate) fn a_store_whose_making_was_broken_off_is_made_whole<P: Place>() {
    break_off_making::<P>(On::new);
}

/// Cuts the first connection of such a store at every 150th byte of what it requests.
pub(super) fn break_off_making<P: Place>(store: impl Fn() -> On<P>) {
    for at in (0..).step_by(150) {
        let on = store();
        let proxy = Proxy::start(address_of(&on.url));
        proxy.arm(Way::Request, at, NetworkFault::Cut);
        // The call reconnects where it can, and fails otherwise.
        let _ = P::connect(&behind(&on.url, proxy.address()));
        let is_over = !proxy.is_disarmed();
        let engine = on.open();
        let done = engine.insert(&key(1), sample(1, "ann"), moment(5_000), Limits::NONE).unwrap();
        assert!(matches!(done, Insert::Done(_)), "cut at {at}: {done:?}");
        assert_eq!(engine.stats().unwrap().stored, 1, "cut at {at}");
        if is_over {
            return;
        }
    }
}

pub(crate) fn a_server_that_is_not_there_is_unavailable_and_used_again_once_it_is<P: Place>() {
    let bench = Bench::<P>::new(500);
    bench.prepare();
    let before = bench.contents();
    bench.proxy.refuse(true);
    bench.proxy.cut_all();
    // A connection that ended is recognised; one that ends at this moment need not be.
    std::thread::sleep(Duration::from_millis(20));
    for operation in operations() {
        let said = (operation.act)(&bench.broken);
        assert!(matches!(said, Err(Error::Unavailable { .. })), "{}: {said:?}", operation.name);
    }
    assert_eq!(bench.contents(), before);
    bench.proxy.refuse(false);
    for operation in operations().iter().filter(|one| one.is_looked_up) {
        bench.prepare();
        assert_eq!((operation.act)(&bench.broken).unwrap(), operation.says[0]);
    }
}

pub(crate) fn connections_that_ended_while_nobody_used_them_are_not_noticed<P: Place>() {
    let bench = Bench::<P>::new(5_000);
    for operation in operations() {
        bench.prepare();
        bench.broken.count(moment(6_000)).unwrap();
        bench.proxy.cut_all();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(
            (operation.act)(&bench.broken).unwrap(),
            operation.says[0],
            "{}",
            operation.name
        );
    }
}

pub(crate) fn no_more_connections_than_allowed_are_opened<P: Place>() {
    let on = On::<P>::new();
    let url = with_parameter(&on.url, "connections=2");
    let url = with_parameter(&url, "timeout_ms=10000");
    let engine = P::connect(&url).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for _ in 0..10 {
                    assert!(engine.load(&key(number), moment(6_000)).unwrap().is_none());
                }
            });
        }
    });
    // A visitor that uses the engine needs a second connection; there is no third one.
    let _ = engine.insert(&key(1), sample(1, "ann"), moment(5_000), Limits::NONE).unwrap();
    engine
        .scan(None, &mut |key, _| {
            assert!(engine.load(&key, moment(6_000))?.is_some());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
}

pub(crate) fn who_finds_every_connection_in_use_is_told_so_and_served_afterwards<P: Place>() {
    let on = On::<P>::new();
    let proxy = Proxy::start(address_of(&on.url));
    let url = with_parameter(&behind(&on.url, proxy.address()), "connections=1");
    let engine = P::connect(&with_parameter(&url, "timeout_ms=10000")).unwrap();
    let load = || engine.load(&key(1), moment(6_000));
    assert!(load().unwrap().is_none());
    // The first call waits for its answer twice as long as the second waits for the connection.
    proxy.arm(Way::Answer, 0, NetworkFault::Swallow);
    std::thread::scope(|scope| {
        let first = scope.spawn(load);
        wait_until("the first call", || proxy.is_disarmed());
        let error = load().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert!(reason.contains("all 1 connections are in use"), "{reason}");
        assert!(first.join().unwrap().unwrap().is_none(), "it reads again");
    });
    assert!(load().unwrap().is_none());
}

pub(crate) fn a_wrong_url_is_an_error_that_shows_no_password<P: Place>() {
    let on = On::<P>::new();
    let (scheme, rest) = on.url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let shows = |text: String| {
        assert!(!text.contains("hidden") && !text.contains("nobody"), "{text}");
    };
    let refused = P::connect(&format!("{scheme}://nobody:hidden@{host}"));
    if let Err(error) = refused {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        shows(format!("{error} {error:?}"));
    }
    let refused = P::connect(&with_parameter(&format!("{scheme}://nobody:hidden@{host}"), "x=1"));
    let error = refused.map(drop).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error:?}");
    shows(format!("{error} {error:?}"));
    let nowhere = P::connect(&format!("{scheme}://nobody:hidden@127.0.0.1:1/0?timeout_ms=300"));
    let error = nowhere.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    shows(format!("{error} {error:?}"));
    shows(format!("{:?}", on.open()));
}
