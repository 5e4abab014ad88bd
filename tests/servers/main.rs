//! The tests that need servers. `bash tests/servers/run` starts the servers and runs these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "what a call of a server that stands still takes is bounded by orders of magnitude; \
              the operations are a table"
)]

/// A test of each case of a module, on a place.
macro_rules! each {
    ($module:ident, $place:ty; $($case:ident)*) => {
        mod $module {$(
            #[test]
            fn $case() {
                crate::$module::$case::<$place>();
            }
        )*}
    };
}
pub(crate) use each;

mod deadlines;
#[cfg(feature = "postgres")]
mod deadlocks {
    mod postgres;
}
mod faults;
mod hosts;
mod instances;
#[cfg(all(feature = "mysql", feature = "postgres", feature = "redis"))]
mod moving;
mod outages;
mod places;
mod races;
mod round_trips;
#[cfg(feature = "tls")]
mod secured;
mod settings;

macro_rules! tests_on {
    ($place:ty) => {
        mod conformance {
            sessile::testing::engine_conformance!(crate::places::On<$place>);
        }
        crate::deadlines::tests!($place);
        crate::hosts::tests!($place);
        crate::races::tests!($place);
        crate::round_trips::tests!($place);
    };
}

#[cfg(feature = "postgres")]
mod postgres {
    tests_on!(crate::places::Postgres);
    crate::faults::tests!(crate::places::Postgres);
}

#[cfg(feature = "mysql")]
mod mysql {
    tests_on!(crate::places::Mysql);
    crate::faults::tests!(crate::places::Mysql);
}

#[cfg(feature = "mongodb")]
mod mongodb {
    tests_on!(crate::places::Mongodb);
    crate::faults::tests!(crate::places::Mongodb);
}

#[cfg(feature = "redis")]
mod redis {
    tests_on!(crate::places::Redis);
    crate::faults::tests!(crate::places::Redis);
}

#[cfg(feature = "redis")]
mod cluster {
    tests_on!(crate::places::Cluster);
}
