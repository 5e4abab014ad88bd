//! The identity of a file, independent of its name. `platform/` determines it.

/// The number of a file, which is the same under every name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(in crate::engine::redb) device: u64,
    pub(in crate::engine::redb) inode: u64,
}

#[cfg(feature = "testing")]
impl Identity {
    /// The identity of a file on a simulated disk.
    pub(crate) const fn simulated(number: u64) -> Self {
        Self { device: 0, inode: number }
    }
}
