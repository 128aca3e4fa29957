// SPDX-License-Identifier: GPL-2.0-only

//! What SIGBUS and SIGSEGV look like to the program: a [`Fault`] in place of the access's result.
//!
//! The kernel answers an access by SIGBUS if the address is mapped but nothing is behind it: the
//! device has been unbound, or the address lies beyond the end of a file. It answers by SIGSEGV if
//! the address is not mapped, or not for this kind of access. What follows is always the same:
//!
//! 1. A function that accesses device memory ([`mapping`](crate::mapping), [`arena`](crate::arena))
//!    makes a [`Watch`] of the range, and then accesses it by one of the instructions of
//!    [`arch`], and by nothing else.
//! 2. The kernel interrupts that instruction and calls [`on_fault`].
//! 3. [`on_fault`] remembers the first signal and its address, and has the program go on behind the
//!    instruction. A store has then stored nothing, and a load gives a number that means nothing.
//! 4. [`Watch::end`] returns `Err(Fault { signal, address })`, and the function returns that.
//!
//! A signal for any other address is a mistake in the program. It kills the program, as it would
//! without all of this.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};

use faultline_core::device::{Fault, Signal};
use rustix::runtime::{
    kernel_sigaction, KernelSigSet, KernelSigaction, KernelSigactionFlags, KernelSighandler,
    Siginfo, Signal as Number, KERNEL_SIG_DFL,
};

use crate::arch;

/// The range that is watched; its length is 0 while none is.
static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The number of the first signal since the watch began, or [`NONE`], and its address.
static SIGNAL: AtomicI32 = AtomicI32::new(NONE);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// No signal has this number.
const NONE: c_int = 0;
const SIGBUS: c_int = Number::BUS.as_raw();

/// Has this program handle SIGBUS and SIGSEGV, from here on.
pub fn install() {
    // SAFETY: the field's type is that of a handler without `SA_SIGINFO`. Nobody but the kernel
    // calls what is in it, and with that flag it does so with the arguments of `on_fault`.
    let handler = unsafe {
        core::mem::transmute::<
            unsafe extern "C" fn(c_int, *mut Siginfo, *mut c_void),
            unsafe extern "C" fn(c_int),
        >(on_fault)
    };
    // SAFETY: `on_fault` may interrupt the program anywhere: it uses nothing but atomics and what
    // the kernel passes to it. No code of the program relies on another handler of these signals.
    unsafe { handle_by(Some(handler)) };
}

/// Has both signals handled by a function that takes a `siginfo_t`, or by the default action.
///
/// # Safety
///
/// It must be right to call the handler whenever such a signal comes.
unsafe fn handle_by(handler: KernelSighandler) {
    for signal in [Number::BUS, Number::SEGV] {
        let action = KernelSigaction {
            sa_handler_kernel: handler,
            sa_flags: KernelSigactionFlags::SIGINFO,
            // The kernel has its own way to return from a handler: the vDSO, and on ARM its page of
            // trampolines.
            sa_restorer: None,
            sa_mask: KernelSigSet::empty(),
        };
        // SAFETY: the call reads `action`, and changes what these two signals do. By the contract of this
        // function the handler may be called whenever one comes; `SA_SIGINFO` gives it three arguments, and
        // the default action takes none.
        let done = unsafe { kernel_sigaction(signal, Some(action)) };
        debug_assert!(done.is_ok(), "the signals exist and can be caught");
    }
}

/// A range of addresses whose signals are remembered, while it lives. There is one at a time.
pub(crate) struct Watch(());

impl Watch {
    /// Begins to watch.
    ///
    /// # Safety
    ///
    /// Until the watch is dropped the range is accessed by the functions of [`arch`] alone, so
    /// that stepping over the instruction is right.
    pub(crate) unsafe fn new(start: usize, length: usize) -> Self {
        debug_assert_eq!(LENGTH.load(Relaxed), 0, "one watch at a time");
        SIGNAL.store(NONE, Relaxed);
        START.store(start, Relaxed);
        LENGTH.store(length, Relaxed);
        Self(())
    }

    /// Ends the watch. The first signal since it began is the error.
    pub(crate) fn end(self) -> Result<(), Fault> {
        let signal = match SIGNAL.load(Relaxed) {
            NONE => return Ok(()),
            SIGBUS => Signal::Bus,
            _ => Signal::Segv,
        };
        Err(Fault {
            signal,
            address: ADDRESS.load(Relaxed) as u64,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        LENGTH.store(0, Relaxed);
    }
}

/// The signal handler.
///
/// # Safety
///
/// The kernel calls it, as the handler of SIGBUS or SIGSEGV with `SA_SIGINFO`.
unsafe extern "C" fn on_fault(signal: c_int, info: *mut Siginfo, context: *mut c_void) {
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one field, through its unions"
    )]
    // SAFETY: the kernel passes a `siginfo_t`, and with these two signals it is `_sigfault` that
    // it writes. If another process has sent the signal by `kill()`, these bytes are those of other
    // fields: they are still some number, which is compared and no more.
    let address = unsafe {
        let info = &(*info).__bindgen_anon_1.__bindgen_anon_1;
        info._sifields._sigfault._addr
    };
    let address = address as usize;
    if address.wrapping_sub(START.load(Relaxed)) >= LENGTH.load(Relaxed) {
        // A mistake in the program. With the default action the instruction runs again: this time
        // the signal kills the program, and the kernel says where.
        // SAFETY: the default action runs no code of this program.
        unsafe { handle_by(KERNEL_SIG_DFL) };
        return;
    }
    if SIGNAL.load(Relaxed) == NONE {
        ADDRESS.store(address, Relaxed);
        SIGNAL.store(signal, Relaxed);
    }
    // SAFETY: `context` is what the kernel has passed to this handler. The interrupted instruction
    // accessed the watched range, and by the contract of `Watch::new` it is one of `arch`.
    unsafe { arch::skip(context) };
}
