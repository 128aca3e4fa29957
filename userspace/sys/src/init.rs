// SPDX-License-Identifier: GPL-2.0-only

//! The duties of the first process of a machine that has no other.

use core::ffi::CStr;
use core::fmt::{self, Display, Write};
use core::ptr::null;

use faultline_core::errno::Errno;
use faultline_core::name::{MODULE_FILE, PROJECT};
use faultline_core::text::Printable;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{mount, MountFlags};
use rustix::process::{chdir, ioctl_tiocsctty, setsid, wait, WaitOptions};
use rustix::runtime::{execve, exit_group, kernel_fork, Fork};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::system::{reboot, RebootCommand};

use crate::console::{stdout, Console};
use crate::error::errno;
use crate::file::open;
use crate::module;

/// What a program expects to be mounted, in this order, and where.
const MOUNTS: [(&CStr, &CStr); 5] = [
    (CONSOLE_FS, c"/dev"),
    (c"proc", c"/proc"),
    (c"sysfs", c"/sys"),
    (c"tmpfs", c"/tmp"),
    (c"debugfs", c"/sys/kernel/debug"),
];

/// The file system that the console is in.
const CONSOLE_FS: &CStr = c"devtmpfs";

/// The status of a shell whose command cannot be executed, and of one whose command is not there.
const CANNOT_EXECUTE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Mounts what is usual and opens the console. What fails is said and done without.
pub fn set_up() -> Console {
    let mut console = Console::stdout();
    for (kind, target) in MOUNTS {
        // EEXIST is the rule; any other failure shows at the mount.
        let _ = rustix::fs::mkdir(target, Mode::from_raw_mode(0o755));
        let mounted = mount(kind, target, kind, MountFlags::empty(), None::<&CStr>).map_err(errno);
        if kind == CONSOLE_FS {
            // What the kernel has opened, if its initramfs has a console at all, is hidden now.
            if let Ok(file) = open(c"/dev/console", OFlags::RDWR | OFlags::NOCTTY) {
                // Numbers and a file that exist: nothing can go wrong that could be said anywhere.
                let _ = dup2_stdin(&file);
                let _ = dup2_stdout(&file);
                let _ = dup2_stderr(&file);
            }
        }
        match mounted {
            // EBUSY: the kernel has mounted it already. ENODEV: the kernel does not have it, and
            // its configuration says so.
            Ok(()) | Err(Errno::BUSY | Errno::NODEV) => {}
            Err(errno) => complain(&mut console, target, &errno),
        }
    }
    console
}

/// Loads the driver's module.
pub fn load_module() -> Result<(), Errno> {
    module::load(MODULE_FILE, c"")
}

/// Says of a file, or of a call that has none, what is wrong with it: mostly an error.
pub fn complain(console: &mut Console, what: &CStr, problem: &dyn Display) {
    let what = Printable(what.to_bytes());
    // There is nowhere else to say it.
    let _ = writeln!(console, "{PROJECT}: {what}: {problem}");
}

/// Why a file names no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramError {
    /// It could not be opened or read.
    Unreadable(Errno),
    /// Its contents are not what they should be.
    Malformed,
}

impl Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(errno) => write!(f, "{errno}"),
            Self::Malformed => write!(
                f,
                "it must hold a path and its arguments, each ended by a NUL, in less than {} bytes",
                Program::MAX_BYTES
            ),
        }
    }
}

/// A program to run, and its arguments.
pub struct Program {
    text: [u8; Program::MAX_BYTES],
    length: usize,
}

impl Program {
    /// The most that the file that names it may hold.
    pub const MAX_BYTES: usize = 4096;
    /// The most arguments that it is given, its name included; it does without the rest.
    pub const MAX_ARGS: usize = 255;

    /// Reads the file that names it: its arguments, each ended by a NUL.
    ///
    /// # Errors
    ///
    /// It cannot be read, it is empty, its last argument has no end, or it is not shorter than
    /// [`Program::MAX_BYTES`].
    pub fn read(path: &CStr) -> Result<Self, ProgramError> {
        let file = open(path, OFlags::RDONLY).map_err(ProgramError::Unreadable)?;
        let mut program = Self {
            text: [0; Self::MAX_BYTES],
            length: 0,
        };
        loop {
            match rustix::io::read(&file, &mut program.text[program.length..]) {
                Ok(0) => break,
                Ok(length) => program.length += length,
                Err(error) => return Err(ProgramError::Unreadable(errno(error))),
            }
        }
        match program.text.get(..program.length) {
            // A byte stays free, so that there was no more to read.
            Some([.., 0]) if program.length < Self::MAX_BYTES => Ok(program),
            _ => Err(ProgramError::Malformed),
        }
    }

    /// The path of the program.
    fn path(&self) -> &CStr {
        // SAFETY: `read` has seen to it that there is a NUL.
        unsafe { CStr::from_ptr(self.text.as_ptr().cast()) }
    }

    /// Runs it with the console as its terminal, and waits for it.
    ///
    /// Its exit status, or 128 and the number of the signal that killed it; 126 if it cannot be
    /// executed, 127 if it is not there.
    pub fn run(&self, console: &mut Console) -> i32 {
        // SAFETY: this program has one thread and nothing that a fork would break: the child
        // shares no writable memory with it (no device is open yet), and goes on to `execute`
        // at once.
        let child = match unsafe { kernel_fork() } {
            Ok(Fork::Child(_)) => exit_group(self.execute(console)),
            Ok(Fork::ParentOf(child)) => child,
            Err(error) => {
                complain(console, c"fork", &errno(error));
                return CANNOT_EXECUTE;
            }
        };
        loop {
            // A process that loses its parent becomes a child of this process: it is reaped, and that is
            // all.
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid == child => {
                    let signal = status.terminating_signal().map(|signal| 128 + signal);
                    return status.exit_status().or(signal).unwrap_or(CANNOT_EXECUTE);
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    complain(console, c"wait", &errno(error));
                    return CANNOT_EXECUTE;
                }
            }
        }
    }

    /// In the child: becomes the program. Returns only if that fails.
    fn execute(&self, console: &mut Console) -> i32 {
        const ENVIRONMENT: [&CStr; 3] = [
            c"PATH=/bin:/sbin:/usr/bin:/usr/sbin",
            c"HOME=/",
            c"TERM=linux",
        ];

        // A session of its own with the console as its terminal, so that Ctrl-C reaches it.
        // Without these the program still runs.
        let _ = setsid();
        let _ = ioctl_tiocsctty(stdout());
        let _ = chdir(c"/");

        let mut args = [null::<u8>(); Self::MAX_ARGS + 1];
        let text = &self.text[..self.length];
        let ends = text.split_inclusive(|&byte| byte == 0);
        for (arg, pointer) in ends.zip(&mut args[..Self::MAX_ARGS]) {
            *pointer = arg.as_ptr();
        }
        let mut environment = [null::<u8>(); ENVIRONMENT.len() + 1];
        for (variable, pointer) in ENVIRONMENT.iter().zip(&mut environment) {
            *pointer = variable.as_ptr().cast();
        }
        let path = self.path();
        // SAFETY: both arrays end with a null pointer, being one longer than what is put in them,
        // and every other pointer is to a string that ends with a NUL.
        let error = unsafe { execve(path, args.as_ptr(), environment.as_ptr()) };
        let error = errno(error);
        complain(console, path, &error);
        if error == Errno::NOENT || error == Errno::NOTDIR {
            NOT_FOUND
        } else {
            CANNOT_EXECUTE
        }
    }
}

/// Says the status, writes back what is to be kept, and switches the machine off.
pub fn power_off(console: &mut Console, status: i32) -> ! {
    // As above.
    let _ = writeln!(console, "{PROJECT}: exit status {}", status.unsigned_abs());
    rustix::fs::sync();
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => complain(console, c"power off", &"the machine does not go off"),
        Err(error) => complain(console, c"power off", &errno(error)),
    }
    loop {
        // The first process must not end; the console shows all there is to know.
        let _ = wait(WaitOptions::empty());
        let _ = rustix::runtime::kernel_sigsuspend(&rustix::runtime::KernelSigSet::empty());
    }
}
