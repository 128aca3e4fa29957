// SPDX-License-Identifier: GPL-2.0-only

//! The fake machine.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::rc::Rc;

use crate::device::Device;
use crate::errno::Errno;
use crate::failure::{CallError, TaskError};
use crate::job::{Job, Tally, Worker};
use crate::system::{KnownMemory, System};

use super::file::{File, FOREIGN};
use super::lie::Lie;
use super::state::{shown_pfn, Cached, State, Vma, FOREIGN_PAGES, MEMORY, OWN, PAGE, SURE, TASK};
use super::vma::step_task;

/// The fake machine.
pub(crate) struct Machine {
    pub(super) state: Rc<RefCell<State>>,
}

impl Machine {
    /// A machine with a buffer of so many pages and, if there is one, so big a lie.
    pub(crate) fn new(pages: u64, lie: Option<Lie>) -> Self {
        let size = pages * PAGE;
        let mut memory = vec![0; size as usize + FOREIGN_PAGES * PAGE as usize];
        if let Some(Lie::NotZeroed(offset)) = lie {
            memory[offset as usize] = 1;
        }
        let record = |text: &str| Ok(format!("{text}\n SUBSYSTEM=platform\n").into_bytes());
        let mut log = VecDeque::from([
            record("4,1,1,-;faultline: loading out-of-tree module taints kernel."),
            record("6,2,2,-;faultline a: 16384 bytes"),
        ]);
        match lie {
            Some(Lie::Log(text)) => log.push_back(record(text)),
            Some(Lie::LogLost) => log.push_front(Err(Errno::PIPE)),
            Some(Lie::LogFails(errno)) => log.push_front(Err(errno)),
            _ => {}
        }
        let pristine = lie != Some(Lie::UsedBefore);
        let state = State {
            lie,
            size,
            stale: memory.clone(),
            cached: Cached::new(lie, &memory),
            memory,
            pristine,
            infos: 0,
            mappings: 0,
            unmapped: false,
            vanished: false,
            coherent: !matches!(lie, Some(Lie::TypeAlwaysRight)),
            read_only: Vec::new(),
            task: None,
            outcome: None,
            beats: 0,
            told: false,
            litmuses: 0,
            time: 0,
            binding: 1,
            log,
        };
        Self {
            state: Rc::new(RefCell::new(state)),
        }
    }

    /// What is in the buffer.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let state = self.state.borrow();
        state.memory[..state.size as usize].to_vec()
    }
}

impl System for Machine {
    type Device = File;
    type Mapping = Vma;

    fn page_size(&self) -> u64 {
        PAGE
    }

    fn open(&mut self, path: &CStr) -> Result<File, Errno> {
        if path.to_bytes().starts_with(b"/dev/faultline") {
            let binding = self.state.borrow().binding;
            if binding % 2 == 0 || self.state.borrow().lies(Lie::NoWitness) {
                return Err(Errno::NOENT);
            }
            if let Some(Lie::WitnessFails(errno)) = self.state.borrow().lie {
                return Err(errno);
            }
            Ok(File {
                state: self.state.clone(),
                binding,
                foreign: false,
            })
        } else if path == FOREIGN {
            Ok(File {
                state: self.state.clone(),
                binding: self.state.borrow().binding,
                foreign: true,
            })
        } else {
            Err(Errno::NOENT)
        }
    }

    fn pagemap(&mut self, address: u64) -> Result<u64, Errno> {
        const PRESENT: u64 = 1 << 63;
        const SOFT_DIRTY: u64 = 1 << 55;

        let state = self.state.borrow();
        match state.lie {
            Some(Lie::PagemapFails(errno)) => return Err(errno),
            Some(Lie::PagemapHides) => return Ok(PRESENT | SOFT_DIRTY),
            Some(Lie::PagemapAbsent) => return Ok(0),
            _ if state.lacks_lpae() => return Ok(0),
            _ => {}
        }
        let (number, offset) = (address >> 32, address & 0xffff_ffff);
        let pfn = shown_pfn(&state, number, offset / PAGE);
        Ok(PRESENT | SOFT_DIRTY | (MEMORY / PAGE + pfn))
    }

    fn lacks_lpae(&self) -> bool {
        self.state.borrow().lacks_lpae()
    }

    fn known_memory(&mut self) -> KnownMemory {
        KnownMemory {
            variable: OWN,
            constant: OWN + PAGE,
            nothing: 0,
        }
    }

    fn command_line(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let line = self.state.borrow().command_line();
        buffer[..line.len()].copy_from_slice(&line);
        Ok(line.len())
    }

    fn two_cpus(&mut self) -> [u32; 2] {
        let state = self.state.borrow();
        [
            0,
            u32::from(!state.lies(Lie::OneCpu) && !state.lacks_lpae()),
        ]
    }

    fn open_foreign(&mut self, path: &CStr, _: u64) -> Result<File, Errno> {
        self.open(path)
    }

    fn stay_on(&mut self, _: Option<u32>) {}

    /// Time passes only while it is looked at, and then the other task is at work, too.
    fn start(&mut self, path: &CStr, size: u64, _: u32, job: &mut Job) -> Result<(), CallError> {
        if let Some(Lie::NoTask(errno)) = self.state.borrow().lie {
            return Err(CallError::of("fork()")(errno));
        }
        let mut file = self.open(path).map_err(CallError::of("open()"))?;
        let mut vma = file.map(0, size).map_err(CallError::of("mmap()"))?;
        let mut state = self.state.borrow_mut();
        state.mappings -= 1;
        vma.number = TASK;
        vma.copy = None;
        state.outcome = None;
        state.beats = 0;
        state.told = false;
        state.task = Some((*job, vma));
        Ok(())
    }

    fn beats(&mut self) -> u64 {
        self.state.borrow().beats
    }

    fn finish(&mut self) -> Result<Tally, TaskError> {
        self.state.borrow_mut().told = true;
        let task = self.state.borrow_mut().task.take();
        match task {
            Some((mut job, mut vma)) => Ok(job.run(self, &mut vma, true)),
            None => Ok(self.state.borrow().outcome.expect("a task was started")),
        }
    }

    fn unbind(&mut self, _: &CStr) -> Result<(), CallError> {
        let mut state = self.state.borrow_mut();
        if let Some(Lie::UnbindFails(errno)) = state.lie {
            return Err(CallError {
                call: "write to the driver's `unbind`",
                errno,
            });
        }
        state.binding += 1;
        Ok(())
    }

    fn bind(&mut self) -> Result<(), CallError> {
        let mut state = self.state.borrow_mut();
        match state.lie {
            Some(Lie::BindFails(errno)) => {
                return Err(CallError {
                    call: "write to the driver's `bind`",
                    errno,
                })
            }
            Some(Lie::BindLeavesData) => {}
            _ => state.memory.fill(0),
        }
        if state.binding % 2 == 0 {
            state.binding += 1;
        }
        state.pristine = !state.lies(Lie::BindLeavesUsed);
        Ok(())
    }

    fn map_beyond_a_file(&mut self) -> Result<Vma, Errno> {
        if let Some(Lie::NoSureSigbus(errno)) = self.state.borrow().lie {
            return Err(errno);
        }
        Ok(Vma {
            state: self.state.clone(),
            number: SURE,
            offset: 0,
            length: PAGE,
            read_only: false,
            copy: None,
            binding: 1,
        })
    }

    fn log_record(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut state = self.state.borrow_mut();
        if state.lies(Lie::LogWithoutEnd) {
            let record = b"4,1,1,-;again\n";
            buffer[..record.len()].copy_from_slice(record);
            return Ok(record.len());
        }
        let record = state.log.pop_front().unwrap_or(Err(Errno::AGAIN))?;
        buffer[..record.len()].copy_from_slice(&record);
        Ok(record.len())
    }
}

impl Worker for Machine {
    fn milliseconds(&mut self) -> u64 {
        step_task(&self.state);
        let mut state = self.state.borrow_mut();
        state.time += 1;
        state.time
    }

    fn beat(&mut self) {
        self.state.borrow_mut().beats += 1;
    }

    fn is_told(&mut self) -> bool {
        self.state.borrow().told
    }
}
