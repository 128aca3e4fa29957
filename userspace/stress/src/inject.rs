// SPDX-License-Identifier: GPL-2.0-only

//! Allocations that fail: each of an operation in turn, by `/proc/self/fail-nth`
//! (Documentation/fault-injection/fault-injection.rst).

use core::ffi::CStr;
use core::fmt::Write;

use faultline_core::device::{Call, Device, Fault};
use faultline_core::errno::Errno;
use faultline_core::finding::{Finding, Stop, Value};
use faultline_core::text::Note;
use faultline_sys::arena::{Access, Argument, Sharing, DONT_NEED};
use faultline_sys::device::File;
use faultline_sys::dma_buf::{copy_imported, DmaBuf};
use faultline_uapi::{Copy, CopyImported, Fill, FAULTLINE_IOC_PREFAULT};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::OFlags;

use crate::report::Part;
use crate::round;
use crate::world::{errno, open_file, tagged, write_file, Target, World};

use World as W;

/// An operation, and how it is undone before it is tried again.
struct Operation {
    name: &'static str,
    run: fn(&mut World, &Target, &mut File) -> Value,
    undo: fn(&mut World, &Target),
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "open",
        run: |_, target, _| target.open().map(drop).into(),
        undo: |_, _| {},
    },
    Operation {
        name: "mmap",
        run: |world, target, file| {
            let length = target.size.min(W::MOST);
            let arena = &mut world.arena;
            let mapped = arena.map(W::A, length, &*file, 0, Access::BOTH, Sharing::Shared);
            mapped.into()
        },
        undo: |_, _| {},
    },
    Operation {
        name: "first_touch",
        run: |world, _, _| stored(world.arena.store(W::A, tagged(1))),
        // The page tables go as well.
        undo: map_anew,
    },
    Operation {
        name: "first_touch_of_the_last_page",
        run: |world, target, _| {
            let last = W::A + target.size.min(W::MOST) - 8;
            stored(world.arena.store(last, tagged(2)))
        },
        undo: map_anew,
    },
    Operation {
        name: "touch_again",
        run: |world, _, _| stored(world.arena.store(W::A, tagged(3))),
        // Page tables stay, entries go. There must be a VMA in any case: without one there
        // would be a signal, which takes an allocation itself.
        undo: |world, target| {
            map_anew(world, target);
            let _ = world.arena.store(W::A, tagged(3));
            let _ = world
                .arena
                .advise(W::A, target.size.min(W::MOST), DONT_NEED);
        },
    },
    Operation {
        name: "prefault",
        run: |world, _, file| {
            let argument = Argument::At(W::MEMORY);
            world
                .arena
                .ioctl(&*file, FAULTLINE_IOC_PREFAULT, argument)
                .into()
        },
        undo: |world, target| {
            map_anew(world, target);
            let length = target.size.min(W::MOST);
            for (at, word) in [(0, world.arena.address(W::A)), (8, length)] {
                let _ = world.arena.store(W::MEMORY + at, word);
            }
        },
    },
    Operation {
        name: "split",
        run: |world, _, _| world.arena.unmap(W::A, world.page).into(),
        undo: map_anew,
    },
    Operation {
        name: "move",
        run: |world, target, _| {
            let length = target.size.min(W::MOST);
            world.arena.relocate(W::A, length, W::B, length).into()
        },
        undo: map_anew,
    },
    Operation {
        name: "read",
        run: |world, _, file| {
            world
                .arena
                .read_at(W::MEMORY, 512, &*file, 0)
                .map(drop)
                .into()
        },
        undo: |_, _| {},
    },
    Operation {
        name: "write",
        run: |world, _, file| {
            world
                .arena
                .write_at(W::MEMORY, 512, &*file, 0)
                .map(drop)
                .into()
        },
        undo: |_, _| {},
    },
    Operation {
        name: "ioctl",
        run: |_, target, _| target.info().map(drop).into(),
        undo: |_, _| {},
    },
    Operation {
        name: "fill",
        run: |_, target, file| {
            let mut fill = Fill {
                length: 8,
                ..Fill::default()
            };
            by_master(target, file.call(Call::Fill(&mut fill)))
        },
        undo: |_, _| {},
    },
    Operation {
        name: "copy",
        run: |_, target, file| {
            let mut copy = Copy {
                destination: 8,
                length: 8,
                ..Copy::default()
            };
            by_master(target, file.call(Call::Copy(&mut copy)))
        },
        undo: |_, _| {},
    },
    Operation {
        name: "export",
        run: |world, target, file| {
            let length = target.size.min(W::MOST);
            let mapped = DmaBuf::of(&*file, 0).and_then(|buf| {
                let arena = &mut world.arena;
                arena.map(W::B, length, &buf, 0, Access::BOTH, Sharing::Shared)
            });
            mapped.into()
        },
        undo: map_anew,
    },
    Operation {
        name: "import",
        run: |_, target, file| {
            let copied = DmaBuf::of(&*file, 0).and_then(|buf| {
                let request = CopyImported {
                    fd: buf.as_fd().as_raw_fd(),
                    imported: 8,
                    length: 8,
                    ..CopyImported::default()
                };
                copy_imported(&*file, &request)
            });
            by_master(target, copied)
        },
        undo: |_, _| {},
    },
    Operation {
        name: "litmus",
        run: |_, _, file| file.call(Call::Litmus(&mut round::at(0, 0))).into(),
        // Its half of the round may be overwritten by now.
        undo: |_, target| {
            if let Ok(mut file) = target.open() {
                // What is not there is missed.
                let _ = round::lay(&mut file, &round::at(0, 0));
            }
        },
    },
    Operation {
        name: "bind",
        run: |_, target, _| target.bind().into(),
        // Of a device that is not bound: nothing is undone, nothing is wrong.
        undo: |_, target| {
            let _ = target.unbind();
        },
    },
    Operation {
        name: "unbind",
        run: |_, target, _| target.unbind().into(),
        undo: |_, target| {
            let _ = target.bind();
        },
    },
];

pub(crate) fn count() -> u64 {
    OPERATIONS.len() as u64
}

fn stored(result: Result<(), Fault>) -> Value {
    result.into()
}

/// What a bus master did; one that there is not says so, and then nothing is wrong.
fn by_master(target: &Target, done: Result<(), Errno>) -> Value {
    match (done, target.master) {
        (Err(error), Err(reason)) if error == reason => Value::Success,
        (done, _) => done.into(),
    }
}

fn map_anew(world: &mut World, target: &Target) {
    let length = target.size.min(W::MOST);
    if let Ok(file) = target.open() {
        // What cannot be mapped cannot be stored to: that is seen.
        let _ = world.clear();
        let arena = &mut world.arena;
        let _ = arena.map(W::A, length, &file, 0, Access::BOTH, Sharing::Shared);
    }
}

pub(crate) fn run(part: &mut Part<'_, '_>, world: &mut World, number: usize) {
    let target = world.targets[number].clone();
    let failer = Failer::new();
    for operation in OPERATIONS {
        let mut finding = Finding::NONE;
        let mut failed = 0;
        let result = match &failer {
            Ok(failer) => each(failer, operation, world, &target, &mut finding, &mut failed),
            Err(Errno::NOENT) => Err(Stop::Skip("this kernel lets no allocation fail")),
            Err(error) => finding.same("set-up in /sys/kernel/debug", *error, ()),
        };
        let said = format_args!("{failed} allocations failed; {finding}");
        part.result(&operation.name, result, &said);
    }
    // Whatever came of it, the next part finds the device in its place.
    let _ = target.bind();
}

/// Has the first allocation of an operation fail, then the second, until it has no more.
fn each(
    failer: &Failer,
    operation: &Operation,
    world: &mut World,
    target: &Target,
    finding: &mut Finding,
    failed: &mut u64,
) -> Result<(), Stop> {
    /// No operation has as many.
    const MOST: u64 = 2000;

    if operation.name != "bind" {
        let _ = target.bind();
    }
    for nth in 1..=MOST {
        let cleared = world.clear();
        finding.need("mmap() of an empty arena", cleared)?;
        let opened = match operation.name {
            "bind" => File::open(c"/dev/null", false),
            _ => target.open(),
        };
        let mut file = finding.need("open()", opened)?;
        (operation.undo)(world, target);
        let armed = failer.arm(nth);
        finding.need("write() to /proc/self/fail-nth", armed)?;
        let seen = (operation.run)(world, target, &mut file);
        let hit = failer.disarm();
        let hit = finding.need("read() of /proc/self/fail-nth", hit)?;
        if !hit {
            finding.same("the operation without a failed allocation", seen, ())?;
            return usable(world, target, finding);
        }
        *failed += 1;
        // Some failures are made up for; others are said, and how depends on who had to allocate.
        let is_clean = match seen {
            Value::Success => true,
            Value::Errno(error) => [Errno::NOMEM, Errno::NFILE, Errno::FAULT].contains(&error),
            _ => false,
        };
        if !is_clean {
            let what =
                "the operation with a failed allocation (ENFILE, EFAULT or success also pass)";
            return finding.same(what, seen, Errno::NOMEM);
        }
        if operation.name == "unbind" {
            // It is gone, or it is still there; it must not be half.
            let _ = target.bind();
        }
    }
    let what = "whether the operation makes fewer than 2000 allocations";
    finding.same(what, false, true)
}

/// The device still does what it is for.
fn usable(world: &mut World, target: &Target, finding: &mut Finding) -> Result<(), Stop> {
    let _ = target.bind();
    let opened = target.open();
    let mut file = finding.need("open() after all", opened)?;
    let arena = &mut world.arena;
    let mapped = arena.map(W::C, world.page, &file, 0, Access::BOTH, Sharing::Shared);
    finding.same("mmap() after all", mapped, ())?;
    finding.same("a store after all", world.arena.store(W::C, tagged(9)), ())?;
    let mut bytes = [0; 8];
    finding.same("read() after all", file.read_at(0, &mut bytes), 8_u64)?;
    let word = Value::Word(u64::from_ne_bytes(bytes));
    finding.same("word after all", word, Value::Word(tagged(9)))
}

/// Lets allocations of this process fail.
pub(crate) struct Failer {
    nth: OwnedFd,
}

impl Failer {
    /// Sets the kernel up: allocations that may sleep fail too, and nothing is printed, as a
    /// stack dump is what a mistake looks like.
    pub(crate) fn new() -> Result<Self, Errno> {
        const SETTINGS: &[(&CStr, &[u8])] = &[
            (c"/sys/kernel/debug/failslab/ignore-gfp-wait", b"N"),
            (c"/sys/kernel/debug/failslab/verbose", b"0"),
            (c"/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", b"N"),
            (
                c"/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem",
                b"N",
            ),
            (c"/sys/kernel/debug/fail_page_alloc/min-order", b"0"),
            (c"/sys/kernel/debug/fail_page_alloc/verbose", b"0"),
        ];
        for (path, value) in SETTINGS {
            write_file(path, value)?;
        }
        let nth = open_file(c"/proc/self/fail-nth", OFlags::RDWR)?;
        Ok(Self { nth })
    }

    /// Has the `nth` allocation from here on fail.
    pub(crate) fn arm(&self, nth: u64) -> Result<(), Errno> {
        let mut text = Note::<20>::new();
        // There is room for the longest number.
        let _ = write!(text, "{nth}");
        let written = rustix::io::pwrite(&self.nth, text.bytes(), 0).map_err(errno);
        written.map(drop)
    }

    /// Lets none fail any more, and tells whether one has.
    pub(crate) fn disarm(&self) -> Result<bool, Errno> {
        let mut text = [0; 16];
        let length = rustix::io::pread(&self.nth, &mut text, 0).map_err(errno)?;
        self.arm(0)?;
        Ok(text[..length].starts_with(b"0"))
    }
}
