//! Memory, and that there is no more of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use wasm_bindgen::prelude::*;

/// The usual allocator, which remembers when it had nothing to give: what follows that is a trap, which says nothing of its cause.
struct Remembering;

static RAN_OUT: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Remembering = Remembering;

/// Whether the engine has asked for memory in vain.
#[wasm_bindgen]
pub fn out_of_memory() -> bool {
    RAN_OUT.load(Ordering::Relaxed)
}

fn noted(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        RAN_OUT.store(true, Ordering::Relaxed);
    }
    pointer
}

// Sound: everything is the usual allocator's.
unsafe impl GlobalAlloc for Remembering {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        noted(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        noted(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        noted(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
