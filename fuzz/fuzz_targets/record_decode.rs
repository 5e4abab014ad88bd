//! Any bytes as a record, and any bytes as content: never a panic, never more memory than the
//! limit, and what decodes encodes to the same bytes again.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use libfuzzer_sys::fuzz_target;

#[path = "../checks/record_decode.rs"]
mod checks;

/// Remembers the most memory that one thread asked for in one piece.
struct Largest;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

fuzz_target!(|bytes: &[u8]| {
    LARGEST.with(|largest| largest.set(0));
    checks::check(bytes);
    let largest = LARGEST.with(Cell::get);
    // The decoder may use 16 times the size class, here 64 KiB for all but the longest inputs.
    let limit = if bytes.len() <= 64 * 1024 { 1 << 20 } else { 1 << 24 };
    assert!(largest <= limit, "{largest} bytes in one piece for {} bytes", bytes.len());
});
