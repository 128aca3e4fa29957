// SPDX-License-Identifier: GPL-2.0-only

//! AArch64: accesses that a signal handler can step over, and how it does.
//!
//! Each access is one instruction without write-back, so that stepping over it leaves every
//! register as it was, and what a load gives is then the value that its register was set to before.
//! The compiler must take it that any memory may be read and written here (no `nomem`): what is
//! behind two mappings is one memory, which it cannot know.

use core::arch::asm;
use core::ffi::c_void;

/// Loads a word in one access.
///
/// # Safety
///
/// `address` is a multiple of eight. It need not be readable if [`skip`] handles the signals of
/// it; what is there must not be memory that Rust has a mutable reference to.
pub(crate) unsafe fn load(address: *const u64) -> u64 {
    let mut value = 0;
    // SAFETY: the caller vouches for the address; the load itself changes nothing but `value`.
    unsafe {
        asm!(
            "ldr {value}, [{address}]",
            address = in(reg) address,
            value = inout(reg) value,
            options(nostack, preserves_flags),
        );
    }
    value
}

/// Stores a word in one access.
///
/// # Safety
///
/// As for [`load`]; and what is there must not be memory that Rust has any reference to.
pub(crate) unsafe fn store(address: *mut u64, value: u64) {
    // SAFETY: the caller vouches for the address.
    unsafe {
        asm!(
            "str {value}, [{address}]",
            address = in(reg) address,
            value = in(reg) value,
            options(nostack, preserves_flags),
        );
    }
}

/// Loads a byte in one access.
///
/// # Safety
///
/// As for [`load`], but for the alignment.
pub(crate) unsafe fn load_byte(address: *const u8) -> u8 {
    let mut value = 0u32;
    // SAFETY: the caller vouches for the address; the load itself changes nothing but `value`.
    unsafe {
        asm!(
            "ldrb {value:w}, [{address}]",
            address = in(reg) address,
            value = inout(reg) value,
            options(nostack, preserves_flags),
        );
    }
    value as u8
}

/// Stores a byte in one access.
///
/// # Safety
///
/// As for [`store`], but for the alignment.
pub(crate) unsafe fn store_byte(address: *mut u8, value: u8) {
    // SAFETY: the caller vouches for the address.
    unsafe {
        asm!(
            "strb {value:w}, [{address}]",
            address = in(reg) address,
            value = in(reg) u32::from(value),
            options(nostack, preserves_flags),
        );
    }
}

/// `struct ucontext` of arch/arm64/include/uapi/asm/ucontext.h, as far as it is needed.
#[repr(C)]
struct UserContext {
    flags: u64,
    link: u64,
    stack: [u64; 3],
    signal_mask: [u64; 16],
    machine: MachineContext,
}

/// `struct sigcontext` of arch/arm64/include/uapi/asm/sigcontext.h, as far as it is needed.
#[repr(C, align(16))]
struct MachineContext {
    fault_address: u64,
    registers: [u64; 31],
    stack_pointer: u64,
    program_counter: u64,
}

const _: () = {
    assert!(core::mem::offset_of!(UserContext, machine) == 176);
    assert!(core::mem::offset_of!(MachineContext, program_counter) == 264);
};

/// The size of every instruction.
const INSTRUCTION: u64 = 4;

/// Makes the interrupted program go on behind the instruction that it was interrupted at.
///
/// # Safety
///
/// `context` is the third argument of an `SA_SIGINFO` signal handler that is running, and the
/// instruction is one of those above.
pub(crate) unsafe fn skip(context: *mut c_void) {
    let context = context.cast::<UserContext>();
    // SAFETY: the kernel put a `struct ucontext` there, which begins like `UserContext`, and
    // nobody else looks at it before the handler returns.
    let program_counter = unsafe { &mut (*context).machine.program_counter };
    *program_counter += INSTRUCTION;
}
