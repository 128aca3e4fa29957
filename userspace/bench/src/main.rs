// SPDX-License-Identifier: GPL-2.0-only

//! `faultline-bench`: what it costs to map, touch and copy device memory.
//!
//! It takes its arguments for steps, in their order: load a module, measure a device, unload the
//! module. So that one boot compares one driver's modes with each other and with other drivers.
//! `make bench` boots such a guest and reads the report.

#![no_std]
#![no_main]

use core::ffi::CStr;
use core::fmt::{self, Display, Write};

use faultline_core::args::bench::{steps, Step, COMMAND};
use faultline_core::bench::{report, report_clock, Operation, Samples, Subject};
use faultline_core::device::{Device, Fault, Mapping};
use faultline_core::errno::Errno;
use faultline_core::name::{ANY_DEVICE, BENCH};
use faultline_core::system::System;
use faultline_core::text::Printable;
use faultline_sys::clock::now_ns;
use faultline_sys::console::Console;
use faultline_sys::device::File;
use faultline_sys::fault_counter::FaultCounter;
use faultline_sys::machine::Machine;
use faultline_sys::mapping::Access;
use faultline_sys::nodes::{find, NodePath};
use faultline_sys::process::Args;
use faultline_sys::scratch::Scratch;
use faultline_sys::{command_line, fault, module, program};
use faultline_uapi::FLAG_COHERENT;

program!(main);

/// How much is read and written by system calls at once, if the device has as much.
const TRANSFER: usize = 1 << 20;

fn main(args: Args) -> i32 {
    let mut console = Console::stdout();
    // A mistake at the end of the line is not to show after minutes.
    if let Some(wrong) = steps(args.clone()).find_map(Result::err) {
        return command_line::refuse(&COMMAND, &wrong);
    }
    let mut steps = steps(args).map_while(Result::ok).peekable();
    if steps.peek().is_none() {
        return command_line::refuse_empty(&COMMAND, "at least one step");
    }

    fault::install();
    let mut bench = match Bench::new() {
        Ok(bench) => bench,
        Err(problem) => return complain(c"/proc/self/stat", &problem),
    };
    for step in steps {
        if let Err((what, problem)) = bench.take(step, &mut console) {
            return complain(what, &problem);
        }
    }
    i32::from(console.has_failed())
}

/// Says what went wrong with what; gives the exit status.
fn complain(what: &CStr, problem: &Problem) -> i32 {
    let what = Printable(what.to_bytes());
    // There is nowhere else to say it.
    let _ = writeln!(Console::stderr(), "{BENCH}: {what}: {problem}");
    1
}

/// Why a step failed.
enum Problem {
    /// A system call answered an error.
    Call(&'static str, Errno),
    /// An access was answered by a signal.
    Access(Fault),
    /// The kernel does not say how many faults there were.
    NoFaults,
    /// `read()` or `write()` ended before the end of the device.
    Short(&'static str),
    /// The device has no memory, or more than there are addresses.
    Size(u64),
}

impl Problem {
    /// To be given to `map_err()`.
    fn call(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Call(what, errno)
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(what, errno) => write!(f, "{what}: {errno}"),
            Self::Access(Fault { signal, address }) => {
                write!(f, "{signal} at address {address:#x}")
            }
            Self::NoFaults => f.write_str("no number of page faults in /proc/self/stat"),
            Self::Short(what) => write!(f, "{what} ends early"),
            Self::Size(size) => write!(f, "cannot map a size of {size}"),
        }
    }
}

/// What stays from step to step.
struct Bench {
    machine: Machine,
    faults: FaultCounter,
    scratch: Scratch,
    label: &'static CStr,
    size: u64,
    samples: usize,
}

impl Bench {
    fn new() -> Result<Self, Problem> {
        Ok(Self {
            machine: Machine::new(),
            faults: FaultCounter::new().map_err(Problem::call("open"))?,
            scratch: Scratch::new(TRANSFER).map_err(Problem::call("mmap"))?,
            label: c"",
            size: 0,
            samples: 9,
        })
    }

    /// Takes a step. What fails is named by the argument.
    fn take(&mut self, step: Step, console: &mut Console) -> Result<(), (&'static CStr, Problem)> {
        match step {
            Step::Request(request) => {
                command_line::answer(console, &COMMAND, request, env!("CARGO_PKG_VERSION"));
            }
            Step::Label(label) => self.label = label,
            Step::Size(size) => self.size = size,
            Step::Repeat(samples) => self.samples = samples,
            Step::Load {
                file: path,
                parameters,
            } => {
                module::load(path, parameters).map_err(|e| (path, Problem::Call("load", e)))?;
            }
            Step::Unload(name) => {
                module::unload(name).map_err(|e| (name, Problem::Call("unload", e)))?;
            }
            Step::Device(path) => self.device(path, console).map_err(|e| (path, e))?,
            Step::All => {
                let nodes = find().map_err(|e| (c"/dev", Problem::Call("list", e)))?;
                for number in nodes.numbers() {
                    let path = NodePath::new(number);
                    let measured = self.device(path.as_c_str(), console);
                    measured.map_err(|e| (ANY_DEVICE, e))?;
                }
            }
        }
        Ok(())
    }

    /// Measures a device and reports it.
    fn device(&mut self, path: &CStr, console: &mut Console) -> Result<(), Problem> {
        let mut file = self.machine.open(path).map_err(Problem::call("open"))?;
        let size = match self.size {
            0 => file.end().map_err(Problem::call("lseek"))?,
            size => size,
        };
        if size == 0 || usize::try_from(size).is_err() {
            return Err(Problem::Size(size));
        }
        let transfer = size.min(TRANSFER as u64) as usize;

        let mut clock = Samples::default();
        let mut seen = Operation::ALL.map(|_| Samples::default());
        for round in 0..=self.samples {
            let mut unseen = Operation::ALL.map(|_| Samples::default());
            // The first round brings in the code and what the kernel has to allocate once.
            let seen = if round == 0 { &mut unseen } else { &mut seen };
            let start = now_ns();
            clock.add(now_ns() - start, 0);
            self.mapping(&mut file, size, Access::Load, seen)?;
            self.mapping(&mut file, size, Access::Store, seen)?;
            self.copies(&mut file, transfer, seen)?;
        }

        report_clock(console, &clock);
        let subject = Subject {
            label: self.label,
            device: path,
            size,
            // Another driver does not know the question.
            coherent: file.info().ok().map(|info| info.flags & FLAG_COHERENT != 0),
        };
        for (operation, samples) in Operation::ALL.into_iter().zip(&seen) {
            let bytes = match operation {
                Operation::Read | Operation::Write | Operation::ReadNew => transfer as u64,
                _ => size,
            };
            report(console, &subject, operation, bytes, samples);
        }
        Ok(())
    }

    /// One life of a mapping.
    fn mapping(
        &self,
        file: &mut File,
        size: u64,
        access: Access,
        seen: &mut [Samples],
    ) -> Result<(), Problem> {
        let page = self.machine.page_size() as usize;

        let start = now_ns();
        let mut area = file.map(0, size).map_err(Problem::call("mmap"))?;
        let mapped = now_ns() - start;

        let before = self.faults()?;
        let start = now_ns();
        area.touch(page, access).map_err(Problem::Access)?;
        let touched = now_ns() - start;
        let faulted = self.faults()? - before;

        if access == Access::Load {
            seen[Operation::FirstRead as usize].add(touched, faulted);
            return area.unmap().map(|_| ()).map_err(Problem::call("munmap"));
        }
        seen[Operation::Mmap as usize].add(mapped, 0);
        seen[Operation::FirstWrite as usize].add(touched, faulted);

        let before = self.faults()?;
        let start = now_ns();
        area.touch(page, access).map_err(Problem::Access)?;
        let touched = now_ns() - start;
        seen[Operation::NextWrite as usize].add(touched, self.faults()? - before);

        let start = now_ns();
        area.unmap().map_err(Problem::call("munmap"))?;
        seen[Operation::Munmap as usize].add(now_ns() - start, 0);
        Ok(())
    }

    /// `read()` and `write()`.
    fn copies(
        &mut self,
        file: &mut File,
        length: usize,
        seen: &mut [Samples],
    ) -> Result<(), Problem> {
        let buffer = &mut self.scratch[..length];

        let start = now_ns();
        read(file, buffer)?;
        seen[Operation::Read as usize].add(now_ns() - start, 0);

        let start = now_ns();
        write(file, buffer)?;
        seen[Operation::Write as usize].add(now_ns() - start, 0);

        let mut untouched = Scratch::new(length).map_err(Problem::call("mmap"))?;
        let before = self.faults()?;
        let start = now_ns();
        read(file, &mut untouched)?;
        let time = now_ns() - start;
        seen[Operation::ReadNew as usize].add(time, self.faults()? - before);
        Ok(())
    }

    /// The faults so far.
    fn faults(&self) -> Result<u64, Problem> {
        let faults = self.faults.read().map_err(Problem::call("read"))?;
        faults.ok_or(Problem::NoFaults)
    }
}

/// Reads from the start of a device until the buffer is full.
fn read(file: &mut File, buffer: &mut [u8]) -> Result<(), Problem> {
    let mut done = 0;
    while done < buffer.len() {
        let answer = file.read_at(done as u64, &mut buffer[done..]);
        match answer.map_err(Problem::call("read"))? {
            0 => return Err(Problem::Short("read")),
            more => done += more as usize,
        }
    }
    Ok(())
}

/// Writes to the start of a device until the buffer has been written.
fn write(file: &mut File, buffer: &[u8]) -> Result<(), Problem> {
    let mut done = 0;
    while done < buffer.len() {
        let answer = file.write_at(done as u64, &buffer[done..]);
        match answer.map_err(Problem::call("write"))? {
            0 => return Err(Problem::Short("write")),
            more => done += more as usize,
        }
    }
    Ok(())
}
