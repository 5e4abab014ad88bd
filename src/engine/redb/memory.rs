//! The default size of the cache: a share of the memory of the machine or the container.
//!
//! Invariant: the size lies within fixed bounds and is the same for the life of the process. This
//! module knows nothing of the cache's content.

use std::path::Path;
use std::sync::OnceLock;

const MIB: u64 = 1024 * 1024;
/// An amount that a desktop program can always spare; also the size if the memory is unknown.
const LEAST: u64 = 64 * MIB;
/// A program must ask for a larger cache explicitly.
const MOST: u64 = 512 * MIB;
/// The cache gets one part in this many of the memory.
const SHARE: u64 = 32;

/// The default of [`Builder::cache_size`](crate::Builder::cache_size), in bytes.
pub(in crate::engine::redb) fn default_cache_size() -> usize {
    static SIZE: OnceLock<u64> = OnceLock::new();
    let size = *SIZE.get_or_init(|| cache_size_for(memory_of_machine(), memory_of_container()));
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn cache_size_for(machine: Option<u64>, container: Option<u64>) -> u64 {
    let memory = machine.into_iter().chain(container).min();
    memory.map_or(LEAST, |memory| (memory / SHARE).clamp(LEAST, MOST))
}

/// Linux reports the memory in `/proc/meminfo`. On other systems only C code could find it.
fn memory_of_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    total_in(&text)
}

fn total_in(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of the process's control group (version 2) and the groups above it.
fn memory_of_container() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let group = root.join(group);
    let within = group.ancestors().take_while(|folder| folder.starts_with(root));
    within
        .filter_map(|folder| limit_in(&std::fs::read_to_string(folder.join("memory.max")).ok()?))
        .min()
}

/// `max` is no limit.
fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_follows_the_memory_within_bounds_and_the_smaller_of_machine_and_container_counts()
    {
        let gib = |count: u64| Some(count * 1024 * MIB);
        assert_eq!(cache_size_for(None, None), LEAST);
        assert_eq!(cache_size_for(gib(1), None), LEAST);
        assert_eq!(cache_size_for(gib(8), None), 256 * MIB);
        assert_eq!(cache_size_for(gib(64), None), MOST);
        assert_eq!(cache_size_for(gib(64), gib(4)), 128 * MIB);
        assert_eq!(cache_size_for(gib(4), gib(64)), 128 * MIB);
    }

    #[test]
    fn what_the_system_says_is_read_and_what_it_does_not_say_is_not_guessed() {
        assert_eq!(
            total_in("MemTotal:       24692220 kB\nMemFree: 1 kB\n"),
            Some(24_692_220 * 1024)
        );
        assert_eq!(total_in("MemFree: 1 kB\n"), None);
        assert_eq!(total_in("MemTotal: many kB\n"), None);
        assert_eq!((limit_in("1048576\n"), limit_in("max\n")), (Some(MIB), None));
    }
}
