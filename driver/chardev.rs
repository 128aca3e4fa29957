// SPDX-License-Identifier: GPL-2.0

//! The character device `/dev/faultlineN`: file operations become typed calls.

use crate::{
    brackets,
    buffer::Buffer,
    ext::{
        address_space::AddressSpace,
        copy::{
            Destination,
            Few,
            Source, //
        },
        miscdevice,
        new_vma::{
            Installed,
            MemoryType,
            NewVma, //
        }, //
    },
    mapping::{
        Extension,
        SharedBuffer, //
    },
    prefault, sync,
    uapi::{
        self,
        Info, //
    },
};
use core::ops::Range;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    fs::{
        File,
        LocalFile, //
    },
    ioctl::_IOC_SIZE,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        poll::PollTable,
        Arc,
        ArcBorrow, //
    },
    task::might_sleep,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The most that is copied in one go, in bytes. Uncached memory is slow to read: between two
/// pieces other tasks may run, and an unbinding may go on.
const PIECE: usize = 1024 * 1024;

/// A registered `/dev/faultlineN`.
#[pin_data]
pub(crate) struct CharDevice<X: Extension> {
    #[pin]
    registration: miscdevice::Registration<SharedBuffer<X>>,
    // Dropped after the registration, so that the name is free when the number is.
    number: Number,
}

impl<X: Extension> CharDevice<X> {
    /// Registers `shared` under the lowest number that is free.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: there are [`Number::MAX`] devices already.
    /// - As [`miscdevice::Registration::new`].
    pub(crate) fn new<'a>(
        parent: &'a Device<Bound>,
        shared: Arc<SharedBuffer<X>>,
    ) -> impl PinInit<Self, Error> + 'a {
        pin_init::pin_init_scope(move || {
            let number = Number::take_lowest()?;
            let name = CString::try_from_fmt(fmt!("faultline{}", number.0))?;
            let buffer = shared.borrow()?;
            dev_dbg!(
                parent,
                "{} bytes as /dev/{}\n",
                shared.length().bytes(),
                &*name
            );
            buffer.extension().prepared(parent, &name, &buffer);
            drop(buffer);

            Ok(try_pin_init!(Self {
                registration <- miscdevice::Registration::new(parent, name, shared),
                number,
            }))
        })
    }
}

#[vtable]
impl<X: Extension> miscdevice::Instance for SharedBuffer<X> {
    fn address_space(&self) -> &AddressSpace {
        self.address_space()
    }

    fn open(&self) -> Result {
        self.borrow()?.extension().may_open()
    }

    fn size(&self) -> Result<usize> {
        self.borrow().map(|_| self.length().bytes())
    }

    #[inline]
    fn read<D: Destination>(&self, position: usize, destination: &mut D) -> Result<usize> {
        let range = self.length().clamp(position, destination.len());

        // Most often all is present.
        let first = range.start..range.end.min(range.start + PIECE);
        let copied = self.borrow()?.read(first, destination);
        if copied == range.len() {
            return Ok(copied);
        }
        read_rest(self, range, copied, destination)
    }

    #[inline]
    fn write<S: Source>(&self, position: usize, source: &mut S) -> Result<usize> {
        let range = self.length().clamp(position, source.len());
        if range.is_empty() && source.len() > 0 {
            self.borrow()?;
            return Err(ENOSPC);
        }

        // Most often all is present.
        let first = range.start..range.end.min(range.start + PIECE);
        let copied = self.borrow()?.write(first, source);
        if copied == range.len() {
            return Ok(copied);
        }
        write_rest(self, range, copied, source)
    }

    fn ioctl(this: ArcBorrow<'_, Self>, file: &LocalFile, cmd: u32, arg: usize) -> Result<isize> {
        let argument = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));

        match cmd {
            uapi::FAULTLINE_IOC_INFO => argument.writer().write(&describe(&this)?)?,
            uapi::FAULTLINE_IOC_PREFAULT => prefault::ioctl(&this, argument)?,
            uapi::FAULTLINE_IOC_SYNC => sync::ioctl(&this, file, argument)?,
            _ => return X::ioctl(this, file, cmd, arg),
        }
        Ok(0)
    }

    fn release(&self, file: &LocalFile) {
        brackets::release(self, file);
    }

    fn mmap_prepare(this: ArcBorrow<'_, Self>, vma: NewVma<'_, Self>) -> Result<Installed> {
        this.map(vma)
    }

    /// Reading and writing never wait. Who waits for anything else hears of the unbinding.
    fn poll(&self, file: &File, table: PollTable<'_>) -> u32 {
        table.register_wait(file, self.revoked());

        // After the registration: an unbinding that comes in between wakes the waiter.
        let events = match self.borrow() {
            Ok(buffer) => buffer.extension().events(file, &table),
            Err(_) => miscdevice::HANGUP,
        };
        miscdevice::READY | events
    }
}

/// Copies the rest of `range` of the buffer from or to user memory, and returns how many bytes were copied
/// in all, with the `copied` of the first attempt, which was of [`PIECE`] bytes at most.
///
/// `copy` moves what it can without sleeping, and stops where user memory is not present. `bring_in` then
/// brings in all that is still to be copied, with the buffer let go. If nothing of it stays until the next
/// attempt, `copy_few` moves at least one byte, through kernel memory: a page that is taken away as soon as
/// it comes slows the call down, but does not make it fail.
///
/// # Errors
///
/// Only if nothing was copied:
///
/// - `EFAULT`: the user's memory cannot be accessed.
/// - `ENODEV`: the device was unbound.
fn transfer<X: Extension, I: ?Sized>(
    shared: &SharedBuffer<X>,
    range: Range<usize>,
    copied: usize,
    user: &mut I,
    copy: impl Fn(&Buffer, Range<usize>, &mut I) -> usize,
    bring_in: impl Fn(&mut I, usize),
    copy_few: impl Fn(Range<usize>, &mut I) -> Result<usize>,
) -> Result<usize> {
    let mut position = range.start + copied;
    let mut is_short = copied < PIECE;
    let mut is_brought_in = false;

    let outcome = loop {
        might_sleep();
        if is_short && !is_brought_in {
            bring_in(user, PIECE.min(range.end - position));
            is_brought_in = true;
        } else if is_short {
            match copy_few(position..range.end.min(position + Few::MAX), user) {
                Ok(0) => break Err(EFAULT),
                Ok(copied) => position += copied,
                Err(error) => break Err(error),
            }
            is_brought_in = false;
        }

        let piece = position..range.end.min(position + PIECE);
        let wanted = piece.len();
        let copied = match shared.borrow() {
            Ok(buffer) => copy(&buffer, piece, user),
            Err(error) => break Err(error),
        };
        position += copied;

        if position == range.end {
            break Ok(());
        }
        is_short = copied < wanted;
        // Whether memory was brought in, and nothing has been copied since.
        is_brought_in &= copied == 0;
    };

    match outcome {
        Err(error) if position == range.start => Err(error),
        _ => Ok(position - range.start),
    }
}

// Both are rarely called, and once in the module, not once in each caller.

#[inline(never)]
fn read_rest<X: Extension>(
    shared: &SharedBuffer<X>,
    range: Range<usize>,
    copied: usize,
    destination: &mut dyn Destination,
) -> Result<usize> {
    transfer(
        shared,
        range,
        copied,
        destination,
        |buffer, piece, destination| buffer.read(piece, destination),
        |destination, length| destination.bring_in(length),
        |piece, destination| read_few(shared, piece, destination),
    )
}

#[inline(never)]
fn write_rest<X: Extension>(
    shared: &SharedBuffer<X>,
    range: Range<usize>,
    copied: usize,
    source: &mut dyn Source,
) -> Result<usize> {
    transfer(
        shared,
        range,
        copied,
        source,
        |buffer, piece, source| buffer.write(piece, source),
        |source, length| source.bring_in(length),
        |piece, source| write_few(shared, piece, source),
    )
}

/// As [`Buffer::read`], of at most [`Few::MAX`] bytes; waits until user memory is there.
fn read_few<X: Extension>(
    shared: &SharedBuffer<X>,
    range: Range<usize>,
    destination: &mut dyn Destination,
) -> Result<usize> {
    let mut few = Few::new();
    shared.borrow()?.read(range, &mut few);
    Ok(few.move_to(destination))
}

/// As [`Buffer::write`], of at most [`Few::MAX`] bytes; waits until user memory is there.
fn write_few<X: Extension>(
    shared: &SharedBuffer<X>,
    range: Range<usize>,
    source: &mut dyn Source,
) -> Result<usize> {
    let mut few = Few::new();
    let count = few.fill_from(source, range.len());
    let range = range.start..range.start + count;
    Ok(shared.borrow()?.write(range, &mut few))
}

/// Answers [`uapi::FAULTLINE_IOC_INFO`].
fn describe<X: Extension>(shared: &SharedBuffer<X>) -> Result<Info> {
    let buffer = shared.borrow()?;

    let mut flags = match buffer.memory().memory_type() {
        MemoryType::Cached => uapi::FLAG_COHERENT,
        MemoryType::DmaCoherent => 0,
    };
    if buffer.memory().pages().is_some() {
        flags = uapi::FLAG_CACHED;
    }
    if buffer.is_pristine() {
        flags |= uapi::FLAG_PRISTINE;
    }

    Ok(Info {
        flags,
        reserved: 0,
        // CAST: `usize` is no wider than `u64`.
        size: shared.length().bytes() as u64,
        dma_address: buffer.memory().dma_address(),
    })
}

/// The number of a device, which no other device has while this value lives.
struct Number(u32);

/// One bit for each number that is taken.
static TAKEN: Atomic<u64> = Atomic::new(0);

impl Number {
    /// How many devices there can be.
    const MAX: u32 = u64::BITS;

    /// Takes the lowest number that is free.
    fn take_lowest() -> Result<Self> {
        let mut taken = TAKEN.load(Relaxed);
        loop {
            let lowest = taken.trailing_ones();
            if lowest == Self::MAX {
                return Err(ENOSPC);
            }
            match TAKEN.cmpxchg(taken, taken | 1 << lowest, Relaxed) {
                Ok(_) => return Ok(Self(lowest)),
                Err(now) => taken = now,
            }
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut taken = TAKEN.load(Relaxed);
        while let Err(now) = TAKEN.cmpxchg(taken, taken & !(1 << self.0), Relaxed) {
            taken = now;
        }
    }
}
