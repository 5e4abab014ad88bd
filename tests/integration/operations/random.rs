//! Random timeouts, limits and operations.

use proptest::prelude::*;
use sessile::UserLimit;

use super::{Operation, USERS};
use crate::model::{Defaults, Millis};

/// Short, and from a few values, so that sessions meet their deadlines exactly.
fn timeout() -> impl Strategy<Value = Millis> {
    prop_oneof![Just(0), Just(1), Just(10), Just(20), Just(40), 0..50_u64]
}

pub(super) fn defaults() -> impl Strategy<Value = Defaults> {
    use UserLimit::{EndLeastRecentlyActive, Refuse};
    let per_user = prop_oneof![
        2 => Just(None),
        1 => (1..4_usize).prop_map(|max| Some((max, Refuse))),
        2 => (1..4_usize).prop_map(|max| Some((max, EndLeastRecentlyActive))),
    ];
    (timeout(), timeout(), per_user).prop_map(|(a, b, per_user)| Defaults {
        inactivity: a.min(b).max(5),
        absolute: a.max(b).max(5) * 3,
        per_user,
    })
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let user = || 0..USERS;
    let owner = || proptest::option::of(0..USERS);
    let own = || proptest::option::of(timeout());
    prop_oneof![
        3 => any::<u32>().prop_map(Create),
        6 => (user(), any::<u32>()).prop_map(|(user, content)| CreateForUser(user, content)),
        4 => (owner(), any::<u32>(), own(), own()).prop_map(|(u, c, i, a)| CreateWith(u, c, i, a)),
        1 => any::<usize>().prop_map(Read),
        4 => any::<usize>().prop_map(ReadAndExtend),
        6 => any::<usize>().prop_map(Extend),
        3 => any::<usize>().prop_map(TakeHandle),
        3 => (any::<usize>(), any::<u32>(), owner()).prop_map(|(h, c, u)| ChangeHandle(h, c, u)),
        1 => (any::<usize>(), proptest::option::of((timeout(), timeout())))
            .prop_map(|(h, own)| TimeHandle(h, own)),
        6 => any::<usize>().prop_map(Update),
        4 => any::<usize>().prop_map(Regenerate),
        3 => (any::<usize>(), any::<u32>(), owner()).prop_map(|(s, c, u)| Modify(s, c, u)),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(s, c)| ModifyKey(s, c)),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(h, c)| UpdateOthers(h, c)),
        1 => (user(), user()).prop_map(|(old, new)| RenameUser(old, new)),
        1 => (any::<usize>(), user()).prop_map(|(s, u)| DestroyOf(s, u)),
        2 => any::<usize>().prop_map(Destroy),
        1 => any::<usize>().prop_map(DestroyKey),
        1 => user().prop_map(DestroyAllOf),
        1 => any::<usize>().prop_map(DestroyOthers),
        1 => Just(Clear),
        3 => Just(Sweep),
        3 => Just(Flush),
        8 => prop_oneof![Just(1), Just(5), Just(9), Just(10), 0..60_u64].prop_map(Forward),
        2 => prop_oneof![Just(1), Just(10), 0..60_u64].prop_map(Back),
        2 => proptest::option::of(defaults()).prop_map(Reopen),
    ]
}
