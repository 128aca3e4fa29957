// SPDX-License-Identifier: GPL-2.0-only

//! On which CPU this process runs, and how urgently.

use faultline_core::errno::Errno;
use faultline_core::failure::CallError;
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

use crate::arch;
use crate::call::{call, SET_SCHEDULER};
use crate::error::errno;

/// Whether the CPU is a 32-bit ARM without LPAE, for which the driver's VMAs are `VM_PFNMAP`.
pub fn lacks_lpae() -> bool {
    arch::lacks_lpae()
}

/// Keeps the calling process on one CPU. There are no more than `CpuSet::MAX_CPU`.
pub fn stay_on_cpu(cpu: usize) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(errno)
}

/// Keeps the calling process on one CPU, and has it run only while nobody else wants that CPU
/// (`SCHED_IDLE`).
///
/// # Errors
///
/// One of the two calls that this takes failed.
pub fn yield_to_all(cpu: usize) -> Result<(), CallError> {
    stay_on_cpu(cpu).map_err(CallError::of("sched_setaffinity()"))?;
    set_policy(Policy::Idle).map_err(CallError::of("sched_setscheduler()"))
}

/// As long as it lives the calling process runs on one CPU; then it goes on as it was.
pub struct Pinned {
    cpus: CpuSet,
}

impl Pinned {
    /// Stays on one CPU.
    pub fn to_cpu(cpu: usize) -> Result<Self, Errno> {
        let cpus = sched_getaffinity(None).map_err(errno)?;
        stay_on_cpu(cpu)?;
        Ok(Self { cpus })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // These are the CPUs that it had before.
        let _ = sched_setaffinity(None, &self.cpus);
    }
}

/// As [`Pinned`], and before all others that are not as urgent (`SCHED_FIFO`).
pub struct Urgent {
    _pinned: Pinned,
}

impl Urgent {
    /// Becomes urgent.
    pub fn on_cpu(cpu: usize) -> Result<Self, Errno> {
        let pinned = Pinned::to_cpu(cpu)?;
        set_policy(Policy::FirstInFirstOut)?;
        Ok(Self { _pinned: pinned })
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        // A process that may become urgent may become normal.
        let _ = set_policy(Policy::Normal);
    }
}

/// The scheduler's policies (include/uapi/linux/sched.h).
#[derive(Clone, Copy)]
enum Policy {
    Normal = 0,
    FirstInFirstOut = 1,
    Idle = 5,
}

fn set_policy(policy: Policy) -> Result<(), Errno> {
    /// `struct sched_param`.
    #[repr(C)]
    struct Parameters {
        priority: i32,
    }

    let parameters = Parameters {
        priority: match policy {
            // The lowest one that this policy has.
            Policy::FirstInFirstOut => 1,
            Policy::Normal | Policy::Idle => 0,
        },
    };
    let address = core::ptr::from_ref(&parameters).expose_provenance();
    // SAFETY: the kernel reads a `struct sched_param`, which lives until the call has returned, and
    // writes nothing. What changes is when this process runs, which no code relies on for safety.
    unsafe { call(SET_SCHEDULER, &[0, policy as usize, address]) }.map(drop)
}
