//! A table's definition, as stored in the tree of tables.

use crate::engine::redb::pages::layout::{Link, Widths, chunk, u32_at};

#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Definition {
    /// The root of the table's tree, unless the table is empty.
    pub(in crate::engine::redb) root: Option<Link>,
    pub(in crate::engine::redb) widths: Widths,
}

impl Definition {
    /// `None` if these bytes are no definition, or define a table with several values a key.
    pub(in crate::engine::redb) fn read(bytes: &[u8]) -> Option<Self> {
        const NORMAL: u8 = 3;
        const HAS_ROOT: usize = 9;
        const ROOT: usize = 10;
        const KEY_WIDTH: usize = 42;
        const VALUE_WIDTH: usize = 47;
        let [kind] = chunk(bytes, 0)?;
        let [has_root] = chunk(bytes, HAS_ROOT)?;
        let root = if has_root == 0 { None } else { Some(Link::at(bytes, ROOT)?) };
        let widths = Widths { key: width(bytes, KEY_WIDTH)?, value: width(bytes, VALUE_WIDTH)? };
        (kind == NORMAL).then_some(Self { root, widths })
    }
}

/// The width, if it is fixed; the outer `None` if the bytes are invalid.
fn width(bytes: &[u8], at: usize) -> Option<Option<usize>> {
    let [is_fixed] = chunk(bytes, at)?;
    let width = u32_at(bytes, at + 1)?;
    Some((is_fixed != 0).then_some(width))
}
