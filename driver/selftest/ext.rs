// SPDX-License-Identifier: GPL-2.0

//! What the self-test needs beside [`crate::ext`], by the same rules.

pub(crate) mod capability;
pub(crate) mod dmaengine;
mod ffi;
pub(crate) mod import;
pub(crate) mod kthread;
pub(crate) mod memory;
pub(crate) mod translate;
mod uapi;
