// SPDX-License-Identifier: GPL-2.0-only

//! How the program starts and how it dies.

use core::ffi::{c_char, CStr};
use core::fmt::Write;
use core::panic::PanicInfo;

use crate::console::Console;
use crate::{init, start};

/// Makes a function the program: `fn(Args) -> i32`, of the arguments, giving the exit status.
///
/// It stands for what origin and the compiler look for by name: `origin_main` and the panic
/// handler.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        /// What origin calls.
        // SAFETY: no other symbol of the program has this name, and origin calls it with the
        // type that it has here.
        #[unsafe(no_mangle)]
        unsafe fn origin_main(count: usize, args: *mut *mut u8, _: *mut *mut u8) -> i32 {
            $crate::process::prepare();
            // SAFETY: origin passes what the kernel put on the stack, which stays there.
            let args = unsafe { $crate::process::Args::new(count, args) };
            $main(args)
        }

        #[panic_handler]
        fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::process::panic(env!("CARGO_PKG_NAME"), info)
        }
    };
}

/// Comes before all else. A program that cannot be given its standard files ends with status 1:
/// it could not say anything.
#[doc(hidden)]
pub fn prepare() {
    // The first process opens the console by itself, and has no `/dev/null` before.
    if !is_init() && start::open_standard_files().is_err() {
        exit(1)
    }
}

/// The arguments that follow the program's name.
#[derive(Clone, Default)]
pub struct Args {
    args: &'static [*mut u8],
}

impl Args {
    /// # Safety
    ///
    /// `args` points to `count` pointers to strings that end with a NUL, and nobody changes or
    /// frees any of it.
    #[doc(hidden)]
    pub unsafe fn new(count: usize, args: *mut *mut u8) -> Self {
        // SAFETY: there are `count` pointers from `args` on, aligned as the kernel put them on the stack, and
        // nobody changes or frees them as long as the program runs, which is as long as the slice lives.
        let args = unsafe { core::slice::from_raw_parts(args, count) };
        // A program can be started without so much as its name.
        Self {
            args: args.get(1..).unwrap_or(&[]),
        }
    }
}

impl Iterator for Args {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        let (&first, rest) = self.args.split_first()?;
        self.args = rest;
        // SAFETY: by the contract of `Args::new` it is a string that stays.
        Some(unsafe { CStr::from_ptr(first.cast::<c_char>()) })
    }
}

/// Whether this is the first process, which must never end.
pub fn is_init() -> bool {
    rustix::process::getpid() == rustix::process::Pid::INIT
}

/// Ends the program, at once.
pub fn exit(status: i32) -> ! {
    rustix::runtime::exit_group(status)
}

/// Says that the program was wrong, and ends it with status 1.
///
/// A program for release does not say where: the places of all that could panic, and their
/// formatting, would weigh more than the checks.
#[doc(hidden)]
pub fn panic(program: &str, info: &PanicInfo<'_>) -> ! {
    let mut console = Console::stderr();
    // There is nowhere else to say it.
    let _ = write!(console, "{program}: panic");
    if cfg!(debug_assertions) {
        if let Some(place) = info.location() {
            let _ = write!(console, " at {}:{}", place.file(), place.line());
        }
    }
    let _ = writeln!(console);
    if is_init() {
        init::power_off(&mut console, 1)
    }
    rustix::runtime::exit_group(1)
}
