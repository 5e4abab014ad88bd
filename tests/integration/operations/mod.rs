//! Operations on a store and on the model; both must agree on everything after each.

mod apply;
mod pair;
mod random;

use proptest::prelude::*;
use sessile::testing::EngineFixture;

use self::pair::Pair;
use self::random::{defaults, operation};
use crate::model::{Defaults, Millis};

/// Operations name sessions and handles by a number, taken modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create(u32),
    CreateForUser(u8, u32),
    CreateWith(Option<u8>, u32, Option<Millis>, Option<Millis>),
    Read(usize),
    ReadAndExtend(usize),
    Extend(usize),
    /// Takes another handle of a session. Updates through it are stale once another handle saved.
    TakeHandle(usize),
    ChangeHandle(usize, u32, Option<u8>),
    /// Sets the session's own timeouts, or the store's. They are stored when the handle is saved.
    TimeHandle(usize, Option<(Millis, Millis)>),
    Update(usize),
    Regenerate(usize),
    Modify(usize, u32, Option<u8>),
    ModifyKey(usize, u32),
    UpdateOthers(usize, u32),
    RenameUser(u8, u8),
    DestroyOf(usize, u8),
    Destroy(usize),
    DestroyKey(usize),
    DestroyAllOf(u8),
    DestroyOthers(usize),
    Clear,
    Sweep,
    Flush,
    Forward(Millis),
    Back(Millis),
    Reopen(Option<Defaults>),
}

pub(crate) const USERS: u8 = 4;

impl Operation {
    const fn number(&self) -> Option<&usize> {
        match self {
            Self::Read(number)
            | Self::ReadAndExtend(number)
            | Self::Extend(number)
            | Self::TakeHandle(number)
            | Self::ChangeHandle(number, ..)
            | Self::Update(number)
            | Self::Regenerate(number)
            | Self::Modify(number, ..)
            | Self::ModifyKey(number, _)
            | Self::UpdateOthers(number, _)
            | Self::TimeHandle(number, _)
            | Self::DestroyOf(number, _)
            | Self::Destroy(number)
            | Self::DestroyKey(number)
            | Self::DestroyOthers(number) => Some(number),
            _ => None,
        }
    }
}

/// A store's first timeouts, and its operations.
pub(crate) fn scenario() -> impl Strategy<Value = (Defaults, Vec<Operation>)> {
    (defaults(), proptest::collection::vec(operation(), 1..80))
}

/// Runs the operations on a store and on the model, and compares everything after each.
pub(crate) fn check<F: EngineFixture>(defaults: Defaults, operations: &[Operation]) {
    let mut pair = Pair::<F>::new(defaults);
    for operation in operations {
        pair.apply(operation);
        pair.observe();
    }
}
