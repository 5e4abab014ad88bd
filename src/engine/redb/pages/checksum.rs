//! XXH3-128 with seed 0, by which redb knows that a page is the one its parent leads to.
//!
//! The algorithm of the xxHash specification, for inputs of more than 16 bytes, which every page
//! is. redb does not offer its own. What holds the two together is a test that verifies every
//! page of files that redb wrote.

const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

const PRIME32_1: u64 = 0x9E37_79B1;
const PRIME32_2: u64 = 0x85EB_CA77;
const PRIME32_3: u64 = 0xC2B2_AE3D;
const PRIME64_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME64_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME64_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME64_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME64_5: u64 = 0x27D4_EB2F_1656_67C5;

const STRIPE: usize = 64;
const STRIPES_PER_BLOCK: usize = (SECRET.len() - STRIPE) / 8;

/// The checksum; `None` for less than 17 bytes.
pub(super) fn checksum(data: &[u8]) -> Option<u128> {
    match data.len() {
        0..=16 => None,
        17..=128 => Some(short(data)),
        129..=240 => Some(medium(data)),
        _ => Some(long(data)),
    }
}

/// Eight bytes as a number. All offsets lie within the data; where one did not, zero would come
/// out, and the tests would see it.
fn word(data: &[u8], at: usize) -> u64 {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn short(data: &[u8]) -> u128 {
    let len = data.len();
    let mut state = ((len as u64).wrapping_mul(PRIME64_1), 0);
    for (from, ends, secret) in [(97, 48, 96), (65, 32, 64), (33, 16, 32), (17, 0, 0)] {
        if len >= from {
            state = mix(state, data, ends, len - ends - 16, secret);
        }
    }
    finish(state, len)
}

fn medium(data: &[u8]) -> u128 {
    let len = data.len();
    let mut state = ((len as u64).wrapping_mul(PRIME64_1), 0);
    for round in 0..len / 32 {
        let at = 32 * round;
        let secret = if round < 4 { at } else { at - 128 + 3 };
        state = mix(state, data, at, at + 16, secret);
        if round == 3 {
            state = (avalanche(state.0), avalanche(state.1));
        }
    }
    finish(mix(state, data, len - 16, len - 32, 103), len)
}

fn long(data: &[u8]) -> u128 {
    let mut lanes =
        [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1];
    let len = data.len();
    for stripe in 0..(len - 1) / STRIPE {
        let place = stripe % STRIPES_PER_BLOCK;
        accumulate(&mut lanes, data, stripe * STRIPE, place * 8);
        if place == STRIPES_PER_BLOCK - 1 {
            scramble(&mut lanes);
        }
    }
    accumulate(&mut lanes, data, len - STRIPE, SECRET.len() - STRIPE - 7);
    let low = merge(&lanes, 11, (len as u64).wrapping_mul(PRIME64_1));
    let high = merge(&lanes, SECRET.len() - STRIPE - 11, !(len as u64).wrapping_mul(PRIME64_2));
    join(high, low)
}

fn mix(state: (u64, u64), data: &[u8], first: usize, second: usize, secret: usize) -> (u64, u64) {
    let half = |at: usize, secret: usize| {
        let words = word(data, at) ^ word(&SECRET, secret);
        fold(words, word(data, at + 8) ^ word(&SECRET, secret + 8))
    };
    let sum = |at: usize| word(data, at).wrapping_add(word(data, at + 8));
    (
        state.0.wrapping_add(half(first, secret)) ^ sum(second),
        state.1.wrapping_add(half(second, secret + 16)) ^ sum(first),
    )
}

fn finish((low, high): (u64, u64), len: usize) -> u128 {
    let sum = low.wrapping_add(high);
    let product = low
        .wrapping_mul(PRIME64_1)
        .wrapping_add(high.wrapping_mul(PRIME64_4))
        .wrapping_add((len as u64).wrapping_mul(PRIME64_2));
    join(avalanche(product).wrapping_neg(), avalanche(sum))
}

fn accumulate(lanes: &mut [u64; 8], data: &[u8], at: usize, secret: usize) {
    let product = |value: u64| (value & 0xFFFF_FFFF).wrapping_mul(value >> 32);
    let (pairs, _) = lanes.as_chunks_mut::<2>();
    for (pair, [even, odd]) in pairs.iter_mut().enumerate() {
        let (first, second) = (word(data, at + 16 * pair), word(data, at + 16 * pair + 8));
        let key = |offset| word(&SECRET, secret + 16 * pair + offset);
        *even = even.wrapping_add(second).wrapping_add(product(first ^ key(0)));
        *odd = odd.wrapping_add(first).wrapping_add(product(second ^ key(8)));
    }
}

fn scramble(lanes: &mut [u64; 8]) {
    for (number, lane) in lanes.iter_mut().enumerate() {
        let key = word(&SECRET, SECRET.len() - STRIPE + 8 * number);
        *lane = (*lane ^ (*lane >> 47) ^ key).wrapping_mul(PRIME32_1);
    }
}

fn merge(lanes: &[u64; 8], secret: usize, start: u64) -> u64 {
    let (pairs, _) = lanes.as_chunks::<2>();
    let mut sum = start;
    for (pair, [even, odd]) in pairs.iter().enumerate() {
        let key = |offset| word(&SECRET, secret + 16 * pair + offset);
        sum = sum.wrapping_add(fold(even ^ key(0), odd ^ key(8)));
    }
    avalanche(sum)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn avalanche(mut value: u64) -> u64 {
    value ^= value >> 37;
    value = value.wrapping_mul(0x1656_6791_9E37_79F9);
    value ^ (value >> 32)
}

fn join(high: u64, low: u64) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}
