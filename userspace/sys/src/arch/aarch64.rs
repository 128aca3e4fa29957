// SPDX-License-Identifier: GPL-2.0-only

//! AArch64: accesses that a signal handler can step over, and how it does.
//!
//! Each access is one instruction without write-back, so that stepping over it leaves every
//! register as it was, and what a load gives is then the value that its register was set to before.
//! The compiler must take it that any memory may be read and written here (no `nomem`): what is
//! behind two mappings is one memory, which it cannot know.

use core::arch::{asm, global_asm};
use core::ffi::c_void;

use linux_raw_sys::general as linux;

// The program's entry. The kernel leaves the arguments on an aligned stack.
global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov x0, sp",
    "mov x30, xzr",
    "b {begin}",
    ".size _start, . - _start",
    begin = sym crate::start::begin,
);

/// Whether the CPU is a 32-bit ARM without LPAE.
pub(crate) fn lacks_lpae() -> bool {
    false
}

/// Loads a word in one access.
///
/// # Safety
///
/// `address` is a multiple of eight. It need not be readable if [`skip`] handles the signals of
/// it; what is there must not be memory that Rust has a mutable reference to.
pub(crate) unsafe fn load(address: *const u64) -> u64 {
    let mut value = 0;
    // SAFETY: this is one load of an aligned word, and changes nothing but `value`. No Rust code writes there at the
    // same time: it would need a mutable reference. If a signal answers the load, `skip` goes on behind it,
    // and `value` keeps the zero that it had.
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
    // SAFETY: this is one store of an aligned word that no Rust reference leads to, so that no Rust code finds
    // it changed. If a signal answers the store, `skip` goes on behind it, and nothing is stored.
    unsafe {
        asm!(
            "str {value}, [{address}]",
            address = in(reg) address,
            value = in(reg) value,
            options(nostack, preserves_flags),
        );
    }
}

/// Loads a word in one access, before all that comes after it in the program.
///
/// # Safety
///
/// As for [`load`].
pub(crate) unsafe fn load_acquire(address: *const u64) -> u64 {
    let mut value = 0;
    // SAFETY: this is one load of an aligned word, and changes nothing but `value`. No Rust code writes there at the
    // same time: it would need a mutable reference. If a signal answers the load, `skip` goes on behind it,
    // and `value` keeps the zero that it had.
    unsafe {
        asm!(
            "ldar {value}, [{address}]",
            address = in(reg) address,
            value = inout(reg) value,
            options(nostack, preserves_flags),
        );
    }
    value
}

/// Stores a word in one access, after all that comes before it in the program.
///
/// # Safety
///
/// As for [`store`].
pub(crate) unsafe fn store_release(address: *mut u64, value: u64) {
    // SAFETY: this is one store of an aligned word that no Rust reference leads to, so that no Rust code finds
    // it changed. If a signal answers the store, `skip` goes on behind it, and nothing is stored.
    unsafe {
        asm!(
            "stlr {value}, [{address}]",
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
/// As for [`load`], except for the alignment.
pub(crate) unsafe fn load_byte(address: *const u8) -> u8 {
    let mut value = 0u32;
    // SAFETY: this is one load of a byte, and changes nothing but `value`. No Rust code writes there at the
    // same time: it would need a mutable reference. If a signal answers the load, `skip` goes on behind it,
    // and `value` keeps the zero that it had.
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
/// As for [`store`], except for the alignment.
pub(crate) unsafe fn store_byte(address: *mut u8, value: u8) {
    // SAFETY: this is one store of a byte that no Rust reference leads to, so that no Rust code finds
    // it changed. If a signal answers the store, `skip` goes on behind it, and nothing is stored.
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

/// An offset into a file as arguments of a system call, behind three others.
pub(crate) fn file_offset(offset: u64) -> [usize; 3] {
    [offset as usize, 0, 0]
}

/// Makes a system call.
///
/// # Safety
///
/// Whatever the call does to the process must be right; for memory that it reads or writes, as
/// for [`load`] and [`store`].
pub(crate) unsafe fn system_call(number: u32, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: the kernel does what the number and the arguments ask for, which is right by the contract of
    // this function. It leaves all registers but the first as they were, and the compiler takes all
    // memory for changed, as there is no `nomem`.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] as isize => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack, preserves_flags),
        );
    }
    result
}

/// Starts a task on a stack of its own, which calls `run(argument)` and exits with what that
/// returns. As [`system_call`], it answers with the number of the task, or an error.
///
/// # Safety
///
/// `stack` is the upper end, a multiple of sixteen, of memory that nobody else uses until the task
/// has ended; with these `flags` of `clone()` it must be right for the task to do what `run` does.
pub(crate) unsafe fn start_task(
    flags: usize,
    stack: *mut u8,
    run: extern "C" fn(usize) -> usize,
    argument: usize,
) -> isize {
    let result;
    // SAFETY: in the caller's task nothing happens but a system call. The new one, which has the
    // registers of the caller and a stack that is its own, never leaves this block.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, {argument}",
            "blr {run}",
            "mov x8, {exit}",
            "svc 0",
            "2:",
            run = in(reg) run,
            argument = in(reg) argument,
            exit = const linux::__NR_exit,
            in("x8") linux::__NR_clone,
            inlateout("x0") flags as isize => result,
            in("x1") stack,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            clobber_abi("C"),
        );
    }
    result
}
