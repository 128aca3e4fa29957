// SPDX-License-Identifier: GPL-2.0-only

//! The fake device with a cached buffer: the device has a memory of its own, and SYNC copies.

use faultline_uapi::{Sync, SYNC_END, SYNC_READ, SYNC_WRITE};

use crate::errno::Errno;

use super::lie::Lie;
use super::state::State;

impl State {
    pub(super) fn sync(&mut self, sync: &Sync) -> Result<(), Errno> {
        let Some(cached) = &mut self.cached else {
            return match self.lie {
                Some(Lie::SyncIsUnknown) => Err(Errno::NOTTY),
                Some(Lie::SyncTakesCoherent) => Ok(()),
                _ => Err(Errno::OPNOTSUPP),
            };
        };
        if let Some(Lie::SyncFails(errno)) = self.lie {
            return Err(errno);
        }
        let access = sync.flags & (SYNC_READ | SYNC_WRITE);
        let end = sync.offset.checked_add(sync.length);
        let mut range = sync.offset..end.unwrap_or(u64::MAX);
        if !(sync.length > 0 && range.end <= self.size) {
            return match self.lie {
                Some(Lie::SyncTakesAnyRange) => Ok(()),
                _ => Err(Errno::INVAL),
            };
        }
        if access == 0 || sync.flags & !(access | SYNC_END) != 0 || sync.reserved != 0 {
            return Err(Errno::INVAL);
        }
        let ends = sync.flags & SYNC_END != 0;
        let bracket = (range.clone(), access);
        if ends {
            let index = cached.open.iter().position(|open| *open == bracket);
            match index {
                Some(index) => drop(cached.open.remove(index)),
                None if self.lie == Some(Lie::SyncEndsWithoutStart) => {}
                None => return Err(Errno::NOENT),
            }
        } else {
            cached.open.push(bracket);
        }
        let (mut moving, mut to_device) = (if ends { SYNC_WRITE } else { SYNC_READ }, ends);
        match self.lie {
            Some(Lie::SyncIsSilent) => return Ok(()),
            Some(Lie::SyncOfStart) => range = 0..sync.length,
            Some(Lie::SyncTheOtherWay) => (moving, to_device) = (SYNC_READ | SYNC_WRITE, !ends),
            _ => {}
        }
        if access & moving != 0 {
            let range = range.start as usize..range.end as usize;
            let (cpu, device) = (&mut self.memory[range.clone()], &mut cached.memory[range]);
            if to_device {
                device.copy_from_slice(cpu);
            } else {
                cpu.copy_from_slice(device);
            }
        }
        Ok(())
    }
}
