// SPDX-License-Identifier: GPL-2.0-only

//! ARMv7: accesses that a signal handler can step over, and how it does.
//!
//! What [`aarch64.rs`](aarch64.rs) says of its accesses goes for these too, but that what a load of
//! a word gives that was stepped over can be any number: the architecture lets an aborted `ldrd`
//! have changed both registers.
//!
//! A word has 64 bits here as well. With the Large Physical Address Extension `ldrd` and `strd` of
//! an aligned word are one access wherever page tables may be, which is to say in all of the
//! memory that is behind the driver's buffers. Without it they may be two, one for each half. A flag that
//! others wait for is one access even then, because its upper half stays zero; and a word that is seen
//! half stored is no other word that anybody waits for.

use core::arch::{asm, global_asm};
use core::ffi::c_void;

use linux_raw_sys::general as linux;

// The program's entry. The kernel leaves the arguments on an aligned stack.
global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov r0, sp",
    "mov lr, #0",
    "b {begin}",
    ".size _start, . - _start",
    begin = sym crate::start::begin,
);

/// Whether the CPU is a 32-bit ARM without LPAE.
pub(crate) fn lacks_lpae() -> bool {
    // arch/arm/include/uapi/asm/hwcap.h
    const HWCAP_LPAE: usize = 1 << 20;

    rustix::param::linux_hwcap().0 & HWCAP_LPAE == 0
}

/// Loads a word in one access.
///
/// # Safety
///
/// `address` is a multiple of eight. It need not be readable if [`skip`] handles the signals of
/// it; what is there must not be memory that Rust has a mutable reference to.
pub(crate) unsafe fn load(address: *const u64) -> u64 {
    let (mut low, mut high) = (0_u32, 0_u32);
    // SAFETY: this is one load of an aligned word, and changes nothing but `low` and `high`. No Rust code writes there at the
    // same time: it would need a mutable reference. If a signal answers the load, `skip` goes on behind it,
    // and they keep the zeroes that they had.
    unsafe {
        asm!(
            "ldrd r2, r3, [{address}]",
            address = in(reg) address,
            inout("r2") low,
            inout("r3") high,
            options(nostack, preserves_flags),
        );
    }
    u64::from(high) << 32 | u64::from(low)
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
            "strd r2, r3, [{address}]",
            address = in(reg) address,
            in("r2") value as u32,
            in("r3") (value >> 32) as u32,
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
    // SAFETY: this function asks of the address what `load` asks, and adds an order alone.
    let value = unsafe { load(address) };
    barrier();
    value
}

/// Stores a word in one access, after all that comes before it in the program.
///
/// # Safety
///
/// As for [`store`].
pub(crate) unsafe fn store_release(address: *mut u64, value: u64) {
    barrier();
    // SAFETY: this function asks of the address what `store` asks, and adds an order alone.
    unsafe { store(address, value) }
}

/// Keeps what comes before it before what comes after it, for devices too: outer shareable, as the
/// kernel's `dma_rmb()` is.
fn barrier() {
    // SAFETY: it is nothing but an order of other accesses.
    unsafe { asm!("dmb osh", options(nostack, preserves_flags)) };
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
            "ldrb.w {value}, [{address}]",
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
            "strb.w {value}, [{address}]",
            address = in(reg) address,
            value = in(reg) u32::from(value),
            options(nostack, preserves_flags),
        );
    }
}

/// `struct ucontext` of arch/arm/include/asm/ucontext.h, as far as it is needed.
#[repr(C)]
struct UserContext {
    flags: u32,
    link: u32,
    stack: [u32; 3],
    machine: MachineContext,
}

/// `struct sigcontext` of arch/arm/include/uapi/asm/sigcontext.h, as far as it is needed.
#[repr(C)]
struct MachineContext {
    trap: u32,
    error_code: u32,
    signal_mask: u32,
    registers: [u32; 15],
    program_counter: u32,
}

const _: () = {
    assert!(core::mem::offset_of!(UserContext, machine) == 20);
    assert!(core::mem::offset_of!(MachineContext, program_counter) == 72);
};

/// The size of each of the accesses above, in ARM state and, `ldrd` and `.w` being the wide ones,
/// in Thumb state.
const INSTRUCTION: u32 = 4;

/// Makes the interrupted program go on behind the instruction that it was interrupted at.
///
/// # Safety
///
/// `context` is the third argument of an `SA_SIGINFO` signal handler that is running, and the
/// instruction is one of those above. None of them is in an `it` block: what the compiler makes
/// conditional is its own code alone.
pub(crate) unsafe fn skip(context: *mut c_void) {
    let context = context.cast::<UserContext>();
    // SAFETY: the kernel put a `struct ucontext` there, which begins like `UserContext`, and
    // nobody else looks at it before the handler returns.
    let program_counter = unsafe { &mut (*context).machine.program_counter };
    *program_counter += INSTRUCTION;
}

/// An offset into a file as arguments of a system call, behind three others: a 64-bit one takes
/// two, of which the first has an even number.
pub(crate) fn file_offset(offset: u64) -> [usize; 3] {
    [0, offset as usize, (offset >> 32) as usize]
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
    // memory for changed, as there is no `nomem`. The number goes into r7, which is the stack frame
    // pointer in Thumb state: it cannot be named as an operand, and gets back what it had.
    unsafe {
        asm!(
            "mov {saved}, r7",
            "mov r7, {number}",
            "svc 0",
            "mov r7, {saved}",
            number = in(reg) number,
            saved = out(reg) _,
            inlateout("r0") arguments[0] as isize => result,
            in("r1") arguments[1],
            in("r2") arguments[2],
            in("r3") arguments[3],
            in("r4") arguments[4],
            in("r5") arguments[5],
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
    // SAFETY: in the caller's task nothing happens but a system call, whose number goes into r7 as
    // in `system_call`. The new one, which has the registers of the caller and a stack that is its
    // own, never leaves this block. All operands are named, so that none is in r7.
    unsafe {
        asm!(
            "mov r10, r7",
            "mov r7, #{clone}",
            "svc 0",
            "cmp r0, #0",
            "bne 2f",
            "mov r11, #0",
            "mov lr, #0",
            "mov r0, r8",
            "blx r5",
            "mov r7, #{exit}",
            "svc 0",
            "2:",
            "mov r7, r10",
            clone = const linux::__NR_clone,
            exit = const linux::__NR_exit,
            inlateout("r0") flags as isize => result,
            in("r1") stack,
            in("r2") 0,
            in("r3") 0,
            in("r4") 0,
            in("r5") run,
            in("r8") argument,
            out("r10") _,
            clobber_abi("C"),
        );
    }
    result
}
