// SPDX-License-Identifier: GPL-2.0-only

//! Standard output and standard error, by lines.

use core::fmt;

use rustix::fd::BorrowedFd;

/// Standard output, as a file.
pub(crate) fn stdout() -> BorrowedFd<'static> {
    // SAFETY: nothing in this program closes it.
    unsafe { rustix::stdio::stdout() }
}

/// Writes whole lines, each in one go.
///
/// On a terminal each line is waited for, so that what the kernel itself prints on the same line
/// comes before it or after it but not in the middle, and nothing is lost when the machine is
/// switched off.
pub struct Console {
    file: BorrowedFd<'static>,
    line: [u8; 256],
    length: usize,
    failed: bool,
}

impl Console {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(stdout())
    }

    /// Standard error.
    pub fn stderr() -> Self {
        // SAFETY: nothing in this program closes it.
        Self::new(unsafe { rustix::stdio::stderr() })
    }

    fn new(file: BorrowedFd<'static>) -> Self {
        Self {
            file,
            line: [0; 256],
            length: 0,
            failed: false,
        }
    }

    /// Whether somebody may be reading along.
    pub fn is_terminal(&self) -> bool {
        rustix::termios::isatty(self.file)
    }

    /// Whether something could not be written.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    fn flush(&mut self) {
        let mut done = 0;
        while done < self.length && !self.failed {
            match rustix::io::write(self.file, &self.line[done..self.length]) {
                Ok(written) if written > 0 => done += written,
                Err(rustix::io::Errno::INTR) => {}
                _ => self.failed = true,
            }
        }
        self.length = 0;
        // ENOTTY if it is no terminal: there is nothing to wait for.
        let _ = rustix::termios::tcdrain(self.file);
    }
}

impl fmt::Write for Console {
    /// One line that is lost does not cost the rest: ask [`Console::has_failed`] at the end.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.line[self.length] = byte;
            self.length += 1;
            if byte == b'\n' || self.length == self.line.len() {
                self.flush();
            }
        }
        Ok(())
    }
}

/// Standard error, if it is a terminal: it shows at once what is written to it.
pub struct Terminal(BorrowedFd<'static>);

impl Terminal {
    /// Standard error, if it is one.
    pub fn stderr() -> Option<Self> {
        // SAFETY: nothing in this program closes it.
        let file = unsafe { rustix::stdio::stderr() };
        rustix::termios::isatty(file).then_some(Self(file))
    }
}

impl fmt::Write for Terminal {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match rustix::io::write(self.0, text.as_bytes()) {
            Ok(_) => Ok(()),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if self.length > 0 {
            self.flush();
        }
    }
}
