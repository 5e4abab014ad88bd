//! A sequence of operations, as the bytes say, on a store and on a model: in memory, on a disk that
//! works, and on one that fails and loses its power. Shared by the fuzz target and the test that
//! replays its corpus.

use sessile::testing::DiskFault;

use crate::crash::DURABILITIES;
use crate::crash::failing::{self, Event};
use crate::crash::workload::Step;
use crate::fixtures::{Deferred, Immediate, Memory, OnSimulatedDisk};
use crate::model::{Defaults, Millis};
use crate::operations::{self, Operation, USERS};

/// The longest sequences: long enough to meet themselves, short enough for hundreds in a second.
const MAX_OPERATIONS: usize = 60;
const MAX_EVENTS: usize = 40;

/// The first byte chooses where the store is. On a disk that fails events follow; elsewhere two bytes
/// for the timeouts, and operations. Each takes one byte for its kind and one for each argument.
pub(crate) fn check(bytes: &[u8]) {
    let Some((place, bytes)) = bytes.split_first() else { return };
    let mut bytes = Bytes(bytes);
    if place % 8 >= 4 {
        let durability = DURABILITIES[usize::from(place / 8) % DURABILITIES.len()];
        let first_tag = u32::from(place / 8);
        let events = (first_tag..).map_while(|tag| bytes.event(tag)).take(MAX_EVENTS);
        return failing::run(durability, events);
    }
    let Some(defaults) = bytes.defaults() else { return };
    let operations: Vec<_> =
        std::iter::from_fn(|| bytes.operation()).take(MAX_OPERATIONS).collect();
    match place % 8 {
        0 => operations::check::<OnSimulatedDisk<Deferred>>(defaults, &operations),
        1 => operations::check::<OnSimulatedDisk<Immediate>>(defaults, &operations),
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

    fn number(&mut self) -> Option<u64> {
        self.byte().map(u64::from)
    }

    /// An event; its content, if it has any, is that of the tag.
    fn event(&mut self, tag: u32) -> Option<Event> {
        use DiskFault::{Full, Read, Sync, Write};
        Some(match self.byte()? {
            kind @ 0..160 => Event::Call(self.step(kind, tag)?),
            kind @ 160..208 => Event::Fail {
                fault: [Full, Write, Sync, Read][usize::from(kind % 4)],
                after: self.number()? % 32,
                lasting: kind >= 192,
            },
            208..216 => Event::Repair,
            216..240 => Event::CutPower { back: self.number()?, seed: self.number()? },
            _ => Event::Kill { back: self.number()?, seed: self.number()? },
        })
    }

    fn step(&mut self, kind: u8, tag: u32) -> Option<Step> {
        Some(match kind % 20 {
            0 => Step::Create { tag },
            1 | 2 => Step::CreateForUser { user: self.user()?, tag },
            3 => Step::CreateWith { user: self.user()?, tag, inactivity: 300 },
            4 | 5 => Step::Update { session: self.number()?, user: self.user()?, tag },
            6 => Step::Modify { session: self.number()?, tag },
            7 | 8 => Step::Regenerate { session: self.number()?, tag },
            9 => Step::Extend { session: self.number()? },
            10 => Step::ReadAndExtend { session: self.number()? },
            11 => Step::Destroy { session: self.number()? },
            12 => Step::DestroyKey { session: self.number()? },
            13 => Step::DestroyOthers { session: self.number()? },
            14 => Step::DestroyAllOf { user: self.user()? },
            15 => Step::Clear,
            16 => Step::Sweep,
            17 => Step::Flush,
            18 => Step::Forward { by: Millis::from(self.byte()?) * 5 },
            _ => Step::Reopen,
        })
    }
}
