//! The conformance suite over every engine, also through `Box` and `Arc`.

mod memory {
    sessile::testing::engine_conformance!(crate::fixtures::Memory);
}

mod redb {
    sessile::testing::engine_conformance!(crate::fixtures::Redb);
}

mod redb_two_phase {
    sessile::testing::engine_conformance!(crate::fixtures::Redb<crate::fixtures::TwoPhase>);
}

mod redb_deferred {
    sessile::testing::engine_conformance!(crate::fixtures::Redb<crate::fixtures::Deferred>);
}

mod boxed_redb_deferred {
    use crate::fixtures::{Boxed, Deferred, Redb};
    sessile::testing::engine_conformance!(Boxed<Redb<Deferred>>);
}

mod shared_memory {
    use crate::fixtures::{Memory, Shared};
    sessile::testing::engine_conformance!(Shared<Memory>);
}
