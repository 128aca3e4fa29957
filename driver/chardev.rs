// SPDX-License-Identifier: GPL-2.0

//! The character device `/dev/faultlineN`: file operations become typed calls.

use crate::{
    export,
    ext::{
        address_space::AddressSpace,
        copy::{
            Destination,
            Source, //
        },
        memory::MemoryType,
        miscdevice,
        new_vma::{
            Installed,
            NewVma, //
        },
        pieces::{
            self,
            Memory, //
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
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

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

        pieces::read(self, range, destination)
    }

    #[inline]
    fn write<S: Source>(&self, position: usize, source: &mut S) -> Result<usize> {
        let range = self.length().clamp(position, source.len());
        if range.is_empty() && source.len() > 0 {
            self.borrow()?;
            return Err(ENOSPC);
        }

        pieces::write(self, range, source)
    }

    fn ioctl(this: ArcBorrow<'_, Self>, file: &LocalFile, cmd: u32, arg: usize) -> Result<isize> {
        let argument = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));

        match cmd {
            uapi::FAULTLINE_IOC_INFO => argument.writer().write(&describe(&this)?)?,
            uapi::FAULTLINE_IOC_EXPORT => return export::ioctl(this, file, argument),
            uapi::FAULTLINE_IOC_PREFAULT => prefault::ioctl(&this, argument)?,
            uapi::FAULTLINE_IOC_SYNC => sync::ioctl(&this, file, argument)?,
            _ => return X::ioctl(this, |extension| extension, file, cmd, arg),
        }
        Ok(0)
    }

    fn release(&self, file: &LocalFile) {
        sync::release(self, file);
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

impl<X: Extension> Memory for SharedBuffer<X> {
    #[inline]
    fn copy_out<D: Destination + ?Sized>(
        &self,
        range: Range<usize>,
        destination: &mut D,
    ) -> Result<usize> {
        Ok(self.borrow()?.read(range, destination))
    }

    #[inline]
    fn copy_in<S: Source + ?Sized>(&self, range: Range<usize>, source: &mut S) -> Result<usize> {
        Ok(self.borrow()?.write(range, source))
    }
}

/// Answers [`uapi::FAULTLINE_IOC_INFO`].
#[allow(clippy::useless_conversion)] // The configuration decides how wide a DMA address is.
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
        dma_address: buffer.memory().dma_address().into(),
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
