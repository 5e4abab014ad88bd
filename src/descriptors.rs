//! Keeps the crate's files and sockets off the numbers of the standard streams.
//!
//! A program may have closed its standard streams, as a daemon does, and print all the same. What
//! it prints then goes to the file that has got the number: over the beginning of a store.

/// The same file or socket, under a number that is no standard stream's. If the process may open
/// nothing more, it keeps its number; then a store's file cannot be locked, and is not opened.
#[cfg(unix)]
pub(crate) fn beside_standard_streams<T>(opened: T) -> T
where
    T: std::os::fd::AsFd + From<std::os::fd::OwnedFd>,
{
    use std::os::fd::AsRawFd;
    const FIRST_FREE: i32 = 3;
    if opened.as_fd().as_raw_fd() >= FIRST_FREE {
        return opened;
    }
    rustix::io::fcntl_dupfd_cloexec(&opened, FIRST_FREE).map_or(opened, T::from)
}

/// The standard streams have no numbers on Windows.
#[cfg(windows)]
pub(crate) const fn beside_standard_streams<T>(opened: T) -> T {
    opened
}
