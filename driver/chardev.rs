// SPDX-License-Identifier: GPL-2.0

//! The character device `/dev/faultlineN`: file operations become typed calls.

use crate::{
    buffer::Buffer,
    ext::{
        address_space::AddressSpace,
        coherent,
        memory,
        miscdevice,
        translate::{
            self,
            Access, //
        },
        vm_fault::{
            Installed,
            NewArea, //
        }, //
    },
    litmus,
    mapping::SharedBuffer,
    master::Data,
    mutant,
    uapi::{
        self,
        Copy,
        Fill,
        Frame,
        Info,
        Master,
        Translation, //
    },
};
use core::ops::Range;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    ioctl::_IOC_SIZE,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    task::might_sleep,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The most that is copied in one go, in bytes. Uncached memory is slow to read: between two
/// pieces other tasks may run, and an unbinding may go on.
const PIECE: usize = 1024 * 1024;

/// The calls that change the buffer.
const CHANGING: [u32; 3] = [
    uapi::FAULTLINE_IOC_FILL,
    uapi::FAULTLINE_IOC_COPY,
    uapi::FAULTLINE_IOC_LITMUS,
];

/// How often user memory may be brought in without a byte being copied.
const PATIENCE: u32 = 16;

/// A registered `/dev/faultlineN`.
#[pin_data]
pub(crate) struct CharDevice {
    #[pin]
    registration: miscdevice::Registration<SharedBuffer>,
    // Dropped after the registration, so that the name is free when the number is.
    number: Number,
}

impl CharDevice {
    /// Registers `shared` under the lowest number that is free.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: there are [`Number::MAX`] devices already.
    /// - As [`miscdevice::Registration::new`].
    pub(crate) fn new<'a>(
        parent: &'a Device<Bound>,
        shared: Arc<SharedBuffer>,
    ) -> impl PinInit<Self, Error> + 'a {
        pin_init::pin_init_scope(move || {
            let number = Number::take_lowest()?;
            let name = CString::try_from_fmt(fmt!("faultline{}", number.0))?;
            dev_dbg!(parent, "registering as /dev/{name:?}\n");

            Ok(try_pin_init!(Self {
                registration <- miscdevice::Registration::new(parent, name, shared),
                number,
            }))
        })
    }

    /// Returns the `N` of `/dev/faultlineN`.
    pub(crate) fn number(&self) -> u32 {
        self.number.0
    }
}

#[vtable]
impl miscdevice::Instance for SharedBuffer {
    fn address_space(&self) -> &AddressSpace {
        self.address_space()
    }

    fn open(&self) -> Result {
        let has_orders = self.buffer()?.has_orders();

        if has_orders && !memory::may_do_raw_io() {
            return Err(EPERM);
        }
        Ok(())
    }

    fn size(&self) -> Result<usize> {
        self.buffer().map(|_| self.length().bytes())
    }

    fn read(&self, position: usize, destination: &mut IovIterDest<'_>) -> Result<usize> {
        let range = self.length().clamp(position, destination.len());
        let left_out = mutant::left_out(mutant::SHORT_READ, &range);

        transfer(
            self,
            range.start..range.end - left_out,
            destination,
            Buffer::read,
            coherent::fault_in_destination,
        )
    }

    fn write(&self, position: usize, source: &mut IovIterSource<'_>) -> Result<usize> {
        let range = self.length().clamp(position, source.len());
        if range.is_empty() && !source.is_empty() {
            self.buffer()?;
            return Err(ENOSPC);
        }
        let left_out = mutant::left_out(mutant::SHORT_WRITE, &range);

        let written = transfer(
            self,
            range.start..range.end - left_out,
            source,
            Buffer::write,
            coherent::fault_in_source,
        )?;
        Ok(written + left_out)
    }

    fn ioctl(
        this: ArcBorrow<'_, Self>,
        opened_for: miscdevice::OpenedFor,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        let argument = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));

        // Who may only read has no bus master and no thread write for him either.
        if CHANGING.contains(&cmd) && !opened_for.writing {
            return Err(EBADF);
        }

        match cmd {
            uapi::FAULTLINE_IOC_INFO => argument.writer().write(&describe(&this)?)?,
            uapi::FAULTLINE_IOC_FRAME => exchange(argument, |question| locate(&this, question))?,
            uapi::FAULTLINE_IOC_TRANSLATE => {
                exchange(argument, |question| translate(&this, question))?;
            }
            uapi::FAULTLINE_IOC_MASTER => argument.writer().write(&describe_master(&this)?)?,
            uapi::FAULTLINE_IOC_FILL => exchange(argument, |question| fill(&this, question))?,
            uapi::FAULTLINE_IOC_COPY => copy(&this, argument.reader().read()?)?,
            uapi::FAULTLINE_IOC_LITMUS => {
                exchange(argument, |question| litmus::run(this, question))?
            }
            _ => return Err(ENOTTY),
        }

        Ok(0)
    }

    fn mmap(this: ArcBorrow<'_, Self>, area: NewArea<'_>) -> Result<Installed> {
        SharedBuffer::map(this, area)
    }
}

/// Copies `range` of the buffer from or to user memory, and returns how many bytes.
///
/// `copy` moves what it can without sleeping; where user memory is not present it stops, and
/// `fault_in` brings it in with the buffer let go.
///
/// # Errors
///
/// Only if nothing was copied:
///
/// - `EFAULT`: the user's memory cannot be brought in.
/// - `EINTR`: a signal came while it was.
/// - `ENODEV`: the device was unbound.
fn transfer<I>(
    shared: &SharedBuffer,
    range: Range<usize>,
    user: &mut I,
    copy: impl Fn(&Buffer, Range<usize>, &mut I) -> usize,
    fault_in: impl Fn(&mut I, usize) -> bool,
) -> Result<usize> {
    let mut position = range.start;
    let mut fruitless = 0;

    let outcome = loop {
        let piece = position..range.end.min(position + PIECE);
        let wanted = piece.len();

        let copied = match shared.buffer() {
            Ok(buffer) => copy(&buffer, piece, user),
            Err(error) => break Err(error),
        };
        position += copied;

        if position == range.end {
            break Ok(());
        }
        might_sleep();
        if copied < wanted {
            if !fault_in(user, wanted - copied) {
                break Err(EFAULT);
            }
            // Memory that goes as soon as it comes, or that is there and yet cannot be accessed (a
            // tag that does not match), must not keep the task here for ever.
            fruitless = if copied == 0 { fruitless + 1 } else { 0 };
            if fruitless > PATIENCE {
                break Err(EFAULT);
            }
            if fruitless > 0 && current!().signal_pending() {
                break Err(EINTR);
            }
        }
    };

    match outcome {
        Err(error) if position == range.start => Err(error),
        _ => Ok(position - range.start),
    }
}

/// Reads a question from user space and overwrites it with the answer.
fn exchange<T: FromBytes + AsBytes>(
    argument: UserSlice,
    answer: impl FnOnce(T) -> Result<T>,
) -> Result {
    let (mut reader, mut writer) = argument.reader_writer();

    writer.write(&answer(reader.read()?)?)
}

/// Answers [`uapi::FAULTLINE_IOC_INFO`].
fn describe(shared: &SharedBuffer) -> Result<Info> {
    let buffer = shared.buffer()?;

    let mut flags = 0;
    if buffer.device_is_coherent() {
        flags |= uapi::FLAG_COHERENT;
    }
    if buffer.is_pristine() {
        flags |= uapi::FLAG_PRISTINE;
    }

    Ok(Info {
        version: uapi::VERSION,
        flags,
        // CAST: `usize` is no wider than `u64`.
        size: shared.length().bytes() as u64,
        dma_address: buffer.dma_address(),
        reserved: 0,
    })
}

/// Answers [`uapi::FAULTLINE_IOC_FRAME`].
fn locate(shared: &SharedBuffer, question: Frame) -> Result<Frame> {
    if !memory::may_see_physical_addresses() {
        return Err(EPERM);
    }

    Ok(Frame {
        physical_address: shared
            .buffer()?
            .physical_address(question.offset)
            .ok_or(EINVAL)?,
        ..question
    })
}

/// Answers [`uapi::FAULTLINE_IOC_TRANSLATE`].
fn translate(shared: &SharedBuffer, question: Translation) -> Result<Translation> {
    const KNOWN: u32 = uapi::TRANSLATE_KERNEL | uapi::TRANSLATE_WRITE;

    let Translation {
        address, request, ..
    } = question;
    if request & !KNOWN != 0 || question.reserved != [0; 5] {
        return Err(EINVAL);
    }

    // A file whose device is gone answers nothing, not even what does not take the device.
    let buffer = shared.buffer()?;
    let access = if request & uapi::TRANSLATE_WRITE != 0 {
        Access::Store
    } else {
        Access::Load
    };
    let translation = if request & uapi::TRANSLATE_KERNEL != 0 {
        buffer.translate(address, access)?
    } else {
        translate::user(address, access)?
    };
    let translation = mutant::said(translation, buffer.device_is_coherent());

    let answer = Translation {
        address,
        request,
        ..Translation::default()
    };
    Ok(match translation {
        translate::Translation::Fault(fault) => Translation { fault, ..answer },
        translate::Translation::Mapped(mapping) => Translation {
            flags: if mapping.writable {
                uapi::TRANSLATED | uapi::TRANSLATION_WRITABLE
            } else {
                uapi::TRANSLATED
            },
            attribute: mapping.attribute,
            shareability: mapping.shareability,
            entry_size: mapping.entry_size.unwrap_or(0),
            physical_address: if memory::may_see_physical_addresses() {
                mapping.physical_address
            } else {
                0
            },
            ..answer
        },
    })
}

/// Answers [`uapi::FAULTLINE_IOC_MASTER`].
fn describe_master(shared: &SharedBuffer) -> Result<Master> {
    let master = shared.buffer()?.describe_master()?;
    let ability = |limit, bit| if limit > 0 { bit } else { 0 };

    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(master.name.bytes()) {
        *to = from;
    }
    Ok(Master {
        name,
        abilities: ability(master.max_fill, uapi::MASTER_FILL)
            | ability(master.max_copy, uapi::MASTER_COPY),
        alignment: master.alignment.try_into()?,
        // CAST: `usize` is no wider than `u64`.
        max_fill: master.max_fill as u64,
        max_copy: master.max_copy as u64,
        data: match master.data {
            Data::Nonce => uapi::MASTER_DATA_NONCE,
            Data::CommandLine => uapi::MASTER_DATA_COMMAND_LINE,
        },
        reserved: 0,
    })
}

/// Answers [`uapi::FAULTLINE_IOC_FILL`].
fn fill(shared: &SharedBuffer, question: Fill) -> Result<Fill> {
    if question.reserved != 0 {
        return Err(EINVAL);
    }

    // The guard keeps the buffer while the bus master is at it; an unbinding waits.
    let length = shared.buffer()?.fill(question.offset, question.length)?;
    Ok(Fill {
        // CAST: `usize` is no wider than `u64`.
        length: length as u64,
        ..question
    })
}

/// Carries out [`uapi::FAULTLINE_IOC_COPY`].
fn copy(shared: &SharedBuffer, request: Copy) -> Result {
    if request.reserved != 0 {
        return Err(EINVAL);
    }

    shared
        .buffer()?
        .copy(request.source, request.destination, request.length)
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
