// SPDX-License-Identifier: GPL-2.0-only

//! How a system call failed, by name, and how a task failed that works beside the program.

use crate::errno::Errno;

/// A system call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The call, as a message names it.
    pub call: &'static str,
    /// Its error.
    pub errno: Errno,
}

impl CallError {
    /// Names the call whose error it is; to be given to `map_err()`.
    pub fn of(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { call, errno }
    }
}

/// Why a task that works beside the program is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// It could not be started, because this call failed.
    Start(CallError),
    /// It ended, because this call of its own failed.
    Call(CallError),
    /// A signal of this number killed it.
    Killed(i32),
}
