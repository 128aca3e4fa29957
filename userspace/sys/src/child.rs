// SPDX-License-Identifier: GPL-2.0-only

//! Other processes.

use faultline_core::errno::Errno;
use faultline_core::finding::Value;
use rustix::process::{kill_process, waitpid, Pid, Signal, WaitOptions, WaitStatus};
use rustix::runtime::{exit_group, kernel_fork, Fork};

use crate::call::{call, SET_UID};
use crate::error::errno;

/// A process that this one has started. It is killed and waited for when this is dropped.
pub struct Child {
    /// Its number, until it has been waited for.
    pid: Option<Pid>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exit(i32),
    /// By this signal.
    Killed(i32),
}

impl From<Ending> for Value {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Exit(status) => Self::Exit(status),
            Ending::Killed(signal) => Self::Killed(signal),
        }
    }
}

/// The user that has no rights (`nobody`).
const NOBODY: usize = 65534;

/// Becomes that user, who has no capabilities either.
pub fn become_nobody() -> Result<(), Errno> {
    // SAFETY: the call takes a number, and changes what this process may do, which no code relies on for
    // safety.
    unsafe { call(SET_UID, &[NOBODY]) }.map(drop)
}

/// Starts a process, which runs `run` and exits with what that returns.
pub fn fork(run: impl FnOnce() -> i32) -> Result<Child, Errno> {
    // SAFETY: after a fork a child may do only what no other thread can have left half done. This
    // program has one thread, so that the child may go on with its copy of everything.
    match unsafe { kernel_fork() } {
        Ok(Fork::Child(_)) => exit_group(run()),
        Ok(Fork::ParentOf(pid)) => Ok(Child::new(pid)),
        Err(error) => Err(errno(error)),
    }
}

impl Child {
    /// A process that this one has just started, and that nobody else waits for.
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid: Some(pid) }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.map_or(0, |pid| pid.as_raw_pid().unsigned_abs())
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ending {
        loop {
            if let Some(ending) = self.look(WaitOptions::empty()) {
                return ending;
            }
        }
    }

    /// How it ended, if it has.
    pub fn ending(&mut self) -> Option<Ending> {
        self.look(WaitOptions::NOHANG)
    }

    fn look(&mut self, options: WaitOptions) -> Option<Ending> {
        let Some(pid) = self.pid else {
            // It was asked before. Nobody else waits for it.
            return Some(Ending::Killed(0));
        };
        match waitpid(Some(pid), options) {
            Ok(Some((_, status))) => {
                self.pid = None;
                Some(Ending::of(status))
            }
            _ => None,
        }
    }

    /// Sends it a signal, unless it has been waited for.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        match self.pid {
            Some(pid) => kill_process(pid, signal).map_err(errno),
            None => Ok(()),
        }
    }

    /// `SIGKILL`.
    pub fn kill(&self) {
        if let Some(pid) = self.pid {
            // It exists until it has been waited for.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        while self.pid.is_some() {
            self.look(WaitOptions::empty());
        }
    }
}

impl Ending {
    fn of(status: WaitStatus) -> Self {
        match status.exit_status() {
            Some(status) => Self::Exit(status),
            None => Self::Killed(status.terminating_signal().unwrap_or(0)),
        }
    }
}
