// SPDX-License-Identifier: GPL-2.0-only

//! A machine with one device that can be made to lie.

mod file;
mod lie;
mod machine;
mod state;
mod sync;
mod vma;

pub(crate) use file::FOREIGN;
pub(crate) use lie::Lie;
pub(crate) use machine::Machine;
pub(crate) use state::PAGE;
