//! Findings of the fuzzer, by name.

use super::{sounds, with_verification};

/// The bytes of redb's two commit slots.
const SLOTS: std::ops::Range<usize> = 64..320;

/// The offset of the byte with one bit each for: which slot counts, whether the file was closed,
/// and the number of phases of the commit.
const GOD_BYTE: usize = 9;

const PAGE: usize = 4_096;

#[test]
fn no_entry_of_the_log_is_put_on_top_of_a_commit_before_the_one_it_followed() {
    for sound in sounds() {
        for byte in SLOTS.step_by(23) {
            let mut damaged = sound.file.clone();
            damaged[byte] ^= 1 << (byte % 8);
            with_verification(sound, &damaged);
        }
        for bits in 1..8 {
            let mut damaged = sound.file.clone();
            damaged[GOD_BYTE] ^= bits;
            with_verification(sound, &damaged);
        }
        for page in (1..sound.log().start / PAGE).step_by(4) {
            let mut damaged = sound.file.clone();
            damaged[page * PAGE..][..PAGE].fill(0);
            with_verification(sound, &damaged);
        }
    }
}
