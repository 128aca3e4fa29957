// SPDX-License-Identifier: GPL-2.0-only

//! Errors of the kernel, by number and by name.

use core::fmt;

/// The error of a system call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u64);

impl Errno {
    /// The error of a number as the C library counts them, from 1 on.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Defines the constants and, from the same lines, their names.
macro_rules! errnos {
    ($($number:literal $name:ident;)*) => {
        impl Errno {
            $(#[doc = concat!("`E", stringify!($name), "`.")]
            pub const $name: Errno = Errno::new($number);)*

            /// The name of one of these constants.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(concat!("E", stringify!($name))),)*
                    _ => None,
                }
            }
        }
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
    24 MFILE;
    25 NOTTY;
    28 NOSPC;
    29 SPIPE;
    32 PIPE;
    38 NOSYS;
    61 NODATA;
    90 MSGSIZE;
    95 OPNOTSUPP;
    110 TIMEDOUT;
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ones_by_name_and_others_by_number() {
        assert_eq!(Errno::INVAL.to_string(), "EINVAL");
        assert_eq!(Errno::PERM.to_string(), "EPERM");
        assert_eq!(Errno::NOEXEC.to_string(), "ENOEXEC");
        assert_eq!(Errno::OPNOTSUPP.to_string(), "EOPNOTSUPP");
        assert_eq!(Errno::new(133).to_string(), "errno 133");
        assert_eq!(Errno::new(256 + 22).to_string(), "errno 278");
    }
}
