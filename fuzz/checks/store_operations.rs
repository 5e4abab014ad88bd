//! A sequence of operations, as the bytes say, on a store and on the model. Shared by the fuzz target
//! and the test that replays its corpus.

use crate::fixtures::{Deferred, Memory, Redb};
use crate::model::{Defaults, Millis};
use crate::operations::{self, Operation, USERS};

/// The longest sequence: long enough to meet itself, short enough for thousands in a second.
const MAX_OPERATIONS: usize = 80;

/// The first byte chooses the engine, the next two the timeouts; then each operation takes one byte
/// for its kind and one for each of its arguments.
pub(crate) fn check(bytes: &[u8]) {
    let Some((engine, bytes)) = bytes.split_first() else { return };
    let mut bytes = Bytes(bytes);
    let Some(defaults) = bytes.defaults() else { return };
    let operations: Vec<_> =
        std::iter::from_fn(|| bytes.operation()).take(MAX_OPERATIONS).collect();
    match engine % 8 {
        0 => operations::check::<Redb<Deferred>>(defaults, &operations),
        _ => operations::check::<Memory>(defaults, &operations),
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn index(&mut self) -> Option<usize> {
        self.byte().map(usize::from)
    }

    fn content(&mut self) -> Option<u32> {
        self.byte().map(u32::from)
    }

    fn user(&mut self) -> Option<u8> {
        self.byte().map(|byte| byte % USERS)
    }

    /// A user or none.
    fn owner(&mut self) -> Option<Option<u8>> {
        self.byte().map(|byte| (byte < 0x80).then_some(byte % USERS))
    }

    fn millis(&mut self) -> Option<Millis> {
        self.byte().map(|byte| Millis::from(byte % 60))
    }

    /// A timeout or none.
    fn own(&mut self) -> Option<Option<Millis>> {
        self.byte().map(|byte| (byte < 0x80).then_some(Millis::from(byte % 50)))
    }

    fn defaults(&mut self) -> Option<Defaults> {
        use sessile::UserLimit::{EndLeastRecentlyActive, Refuse};
        // 60 values are timeouts; what is above them chooses the limit of a user.
        let (a, b) = (self.millis()?, self.byte()?);
        let per_user = match b / 60 {
            0 => None,
            1 => Some((2, Refuse)),
            2 => Some((1, EndLeastRecentlyActive)),
            _ => Some((2, EndLeastRecentlyActive)),
        };
        let b = Millis::from(b % 60);
        let (inactivity, absolute) = (a.min(b).max(5), a.max(b).max(5) * 3);
        Some(Defaults { inactivity, absolute, per_user })
    }

    fn operation(&mut self) -> Option<Operation> {
        use Operation::*;
        Some(match self.byte()? % 21 {
            0 => Create(self.content()?),
            1 => CreateForUser(self.user()?, self.content()?),
            2 => CreateWith(self.owner()?, self.content()?, self.own()?, self.own()?),
            3 => Read(self.index()?),
            4 => ReadAndExtend(self.index()?),
            5 => Extend(self.index()?),
            6 => TakeHandle(self.index()?),
            7 => ChangeHandle(self.index()?, self.content()?, self.owner()?),
            8 => Update(self.index()?),
            9 => Regenerate(self.index()?),
            10 => Modify(self.index()?, self.content()?, self.owner()?),
            11 => Destroy(self.index()?),
            12 => DestroyKey(self.index()?),
            13 => DestroyAllOf(self.user()?),
            14 => DestroyOthers(self.index()?),
            15 => Clear,
            16 => Sweep,
            17 => Flush,
            18 => Forward(self.millis()?),
            19 => Back(self.millis()?),
            _ => match self.byte()? < 0x80 {
                true => Reopen(Some(self.defaults()?)),
                false => Reopen(None),
            },
        })
    }
}
