// SPDX-License-Identifier: GPL-2.0-only

//! Catching SIGBUS and SIGSEGV of accesses that may fault.
//!
//! A [`Watch`] names a range of addresses. A signal for an address in it is remembered and the
//! access stepped over; the watch's owner learns of the first of them at the end. Any other such
//! signal is a mistake in the program, and kills it as it would without this.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use faultline_core::device::{Fault, Signal};
use rustix::runtime::{
    kernel_sigaction, KernelSigSet, KernelSigaction, KernelSigactionFlags, KernelSighandler,
    Siginfo, Signal as Number, KERNEL_SIG_DFL,
};

use crate::arch;

/// The range that is watched; its length is 0 while none is.
static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The first signal since the watch began: its number, or 0, and its address.
static SIGNAL: AtomicU8 = AtomicU8::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

const SIGBUS: u8 = Number::BUS.as_raw() as u8;
const SIGSEGV: u8 = Number::SEGV.as_raw() as u8;

/// Takes charge of SIGBUS and SIGSEGV.
pub fn install() {
    // SAFETY: the field's type is that of a handler without `SA_SIGINFO`. Nobody but the kernel
    // calls what is in it, and with that flag it does so with the arguments of `on_fault`.
    let handler = unsafe {
        core::mem::transmute::<
            unsafe extern "C" fn(c_int, *mut Siginfo, *mut c_void),
            unsafe extern "C" fn(c_int),
        >(on_fault)
    };
    // SAFETY: the handler touches nothing but atomics and its own arguments, and this program
    // relies on no other handler of these signals.
    unsafe { answer_by(Some(handler)) };
}

/// Has both signals answered by a handler that takes a `siginfo_t`, or by the default action.
///
/// # Safety
///
/// It must be right to call the handler whenever such a signal comes.
#[inline(never)]
unsafe fn answer_by(handler: KernelSighandler) {
    for signal in &[Number::BUS, Number::SEGV] {
        let action = KernelSigaction {
            sa_handler_kernel: handler,
            sa_flags: KernelSigactionFlags::SIGINFO,
            // The kernel has its own way to return from a handler (the vDSO, on ARM its page of
            // trampolines).
            sa_restorer: None,
            sa_mask: KernelSigSet::empty(),
        };
        // SAFETY: as the caller vouches.
        let done = unsafe { kernel_sigaction(*signal, Some(action)) };
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
        SIGNAL.store(0, Relaxed);
        START.store(start, Relaxed);
        LENGTH.store(length, Relaxed);
        Self(())
    }

    /// Ends the watch with the first fault in it.
    pub(crate) fn end(self) -> Result<(), Fault> {
        let signal = match SIGNAL.load(Relaxed) {
            0 => return Ok(()),
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
    // it fills in. Sent by hand (`kill`) the address is some other field's bits: any number will
    // do, it is only compared.
    let address = unsafe {
        let info = &(*info).__bindgen_anon_1.__bindgen_anon_1;
        info._sifields._sigfault._addr
    };
    let address = address as usize;
    if address.wrapping_sub(START.load(Relaxed)) >= LENGTH.load(Relaxed) {
        // Not ours. The default action is set and the instruction runs again: this time the
        // signal kills, and says where.
        // SAFETY: the default action runs no code of this program.
        unsafe { answer_by(KERNEL_SIG_DFL) };
        return;
    }
    if SIGNAL.load(Relaxed) == 0 {
        ADDRESS.store(address, Relaxed);
        SIGNAL.store(
            if signal == c_int::from(SIGSEGV) {
                SIGSEGV
            } else {
                SIGBUS
            },
            Relaxed,
        );
    }
    // SAFETY: `context` is what the kernel passed to this handler, and by the contract of
    // `Watch::new` what accessed the range is a function of `arch`.
    unsafe { arch::skip(context) };
}
