// SPDX-License-Identifier: GPL-2.0-only

//! Errors of the kernel, by number and by name.

use crate::text::{Out, Show};

/// What a system call answered instead of a result.
///
/// It is held as the kernel gives it, as a negative number, and is as wide as a result: both go by
/// in registers, just as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u64);

impl Errno {
    /// How many there are (`MAX_ERRNO`, include/linux/err.h).
    pub const MAX: u64 = 4095;

    /// The error of a number as the C library counts them, from 1 on.
    pub const fn new(number: u64) -> Self {
        Self(number.wrapping_neg())
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0.wrapping_neg()
    }

    /// What the kernel gives instead of a result.
    pub const fn answer(self) -> u64 {
        self.0
    }
}

/// A name without the `E` that they all begin with, filled up with zeroes: a table of these is half
/// as long as one of pointers to strings and their lengths.
type Name = [u8; 9];

const fn name(text: &str) -> Name {
    let mut name = [0; 9];
    let mut index = 0;
    while index < text.len() {
        name[index] = text.as_bytes()[index];
        index += 1;
    }
    name
}

/// Defines the constants and, from the same lines, their names.
macro_rules! errnos {
    ($($number:literal $name:ident;)*) => {
        impl Errno {
            $(#[doc = concat!("`E", stringify!($name), "`.")]
            pub const $name: Errno = Errno::new($number);)*
        }

        const NAMES: &[(u8, Name)] = &[$(($number, name(stringify!($name))),)*];
    };
}

// include/uapi/asm-generic/errno-base.h and errno.h: the same on every architecture that this is
// built for. What a driver or a mount is likely to answer has a name, the rest keeps its number.
errnos! {
    1 PERM;
    2 NOENT;
    4 INTR;
    5 IO;
    6 NXIO;
    8 NOEXEC;
    9 BADF;
    11 AGAIN;
    12 NOMEM;
    13 ACCES;
    14 FAULT;
    16 BUSY;
    17 EXIST;
    19 NODEV;
    20 NOTDIR;
    22 INVAL;
    23 NFILE;
    25 NOTTY;
    28 NOSPC;
    32 PIPE;
    38 NOSYS;
    61 NODATA;
    90 MSGSIZE;
    95 OPNOTSUPP;
    110 TIMEDOUT;
}

impl Show for Errno {
    fn show(&self, out: &mut dyn Out) {
        let number = self.number();
        match NAMES.iter().find(|name| u64::from(name.0) == number) {
            Some((_, name)) => {
                let length = name.iter().take_while(|letter| **letter != 0).count();
                out.text("E").write(&name[..length]);
            }
            None => {
                out.text("errno ").number(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::shown;

    #[test]
    fn known_ones_by_name_and_others_by_number() {
        assert_eq!(shown(&Errno::INVAL), "EINVAL");
        assert_eq!(shown(&Errno::PERM), "EPERM");
        assert_eq!(shown(&Errno::NOEXEC), "ENOEXEC");
        assert_eq!(shown(&Errno::OPNOTSUPP), "EOPNOTSUPP");
        assert_eq!(shown(&Errno::new(133)), "errno 133");
        assert_eq!(shown(&Errno::new(256 + 22)), "errno 278");
    }
}
