//! Which file this is, whatever its name. How the system tells is in `platform.rs`.

/// Which file this is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(in crate::engine::redb) device: u64,
    pub(in crate::engine::redb) inode: u64,
}

#[cfg(feature = "testing")]
impl Identity {
    /// That of a file on a simulated disk.
    pub(crate) const fn simulated(number: u64) -> Self {
        Self { device: 0, inode: number }
    }
}
