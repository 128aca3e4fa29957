// SPDX-License-Identifier: GPL-2.0

//! The mailbox of a Raspberry Pi, and the firmware behind it, as a bus master.
//!
//! The VideoCore processor runs the firmware, which answers questions: the CPU writes a message to
//! memory and its address to the mailbox; the firmware reads the message, writes its answer *into
//! the same memory*, and hands the address back. It does not see the CPU's caches.
//!
//! [`fill`](Master::fill) asks for the kernel's command line, in the buffer itself. What the firmware
//! answers is known from the device tree, to which it has written the same.
//!
//! The firmware has no way to know who wrote the message, and some questions are orders. Between the
//! kernel's writing it and the firmware's reading it, a process that has the buffer mapped could
//! change it: so it takes `CAP_SYS_RAWIO` to open the device, whatever the mode of its file is.
//!
//! The registers are this driver's alone: the nodes of the mailbox and of the firmware in the tree
//! have to be disabled, and with them go the clocks, regulators and GPIOs that are the firmware's.
//!
//! Specification: "Mailbox property interface" in the wiki of the repository raspberrypi/firmware;
//! `drivers/mailbox/bcm2835-mailbox.c`, `include/soc/bcm2835/raspberrypi-firmware.h`.

use super::{
    Data,
    Description,
    Master,
    Target, //
};
use crate::selftest::ext::memory::DmaSpan;
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    io::{
        io_read,
        io_write,
        mem::DevresIoMem,
        poll::read_poll_timeout,
        Io, //
    },
    new_mutex,
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        barrier::{
            dma_mb,
            Read, //
        },
        Arc,
        Mutex, //
    },
    time::Delta,
    transmute::AsBytes, //
};

/// How long the firmware may take. It has other things to do.
const PATIENCE: Delta = Delta::from_secs(1);

/// How often to look whether it has answered.
const INTERVAL: Delta = Delta::from_micros(10);

/// The registers, by their offsets: the mailbox that the CPU reads, the one that it writes.
mod register {
    pub(super) const READ: usize = 0x00;
    pub(super) const READ_STATUS: usize = 0x18;
    pub(super) const WRITE: usize = 0x20;
    pub(super) const WRITE_STATUS: usize = 0x38;
    pub(super) const END: usize = 0x40;

    pub(super) const STATUS_FULL: u32 = 1 << 31;
    pub(super) const STATUS_EMPTY: u32 = 1 << 30;
}

/// The mailbox's channel for messages of this kind, in the lowest bits of an address.
const CHANNEL: u32 = 8;

/// How many messages a mailbox holds.
const DEPTH: usize = 8;

/// What addresses of messages are multiples of: the channel has the bits below.
const ALIGNMENT: usize = 16;

/// The question for the kernel's command line.
const GET_COMMAND_LINE: u32 = 0x0005_0001;

/// In the message's second word: the firmware has understood it.
const SUCCESS: u32 = 1 << 31;

/// In a tag's third word: this is an answer; the rest is its length.
const ANSWERED: u32 = 1 << 31;

/// The longest command line that is asked for: arm64's `COMMAND_LINE_SIZE`.
const LONGEST: usize = 2048;

/// Words of a message that are not the answer: length, code; question, room, length; the end.
const AROUND: usize = 6;

/// A message with the longest answer, in words.
type LongMessage = [u32; AROUND + LONGEST / size_of::<u32>() + 2];

/// The firmware, as a bus master.
#[pin_data]
struct Firmware {
    request: KVec<u32>,
    #[pin]
    mailbox: Mutex<Mailbox>,
}

/// Claims the mailbox whose registers the node's `reg` gives.
///
/// # Errors
///
/// The log has the reason.
///
/// - `EINVAL`: the node has no registers, or too few.
/// - `EIO`, `ETIMEDOUT`, `EOPNOTSUPP`: the firmware does not answer, or not this question.
pub(crate) fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Arc<dyn Master>> {
    let dev: &Device<Bound> = pdev.as_ref();

    let mut mailbox = Mailbox::new(pdev)?;
    let length = mailbox.command_line_length().inspect_err(|error| {
        dev_err!(
            dev,
            "mailbox: the firmware does not tell the command line: {error:?}\n"
        );
    })?;

    Ok(Arc::pin_init(
        try_pin_init!(Firmware {
            request: question(length)?,
            mailbox <- new_mutex!(mailbox, "Firmware::mailbox"),
        }? Error),
        GFP_KERNEL,
    )?)
}

/// Returns a message, in the firmware's byte order, that asks for the command line and has room for
/// `length` bytes of it.
fn question(length: usize) -> Result<KVec<u32>> {
    let room = length.next_multiple_of(size_of::<u32>());
    let whole = (AROUND * size_of::<u32>() + room).next_multiple_of(ALIGNMENT);

    let mut message = KVec::from_elem(0, whole / size_of::<u32>(), GFP_KERNEL)?;
    let words = [whole.try_into()?, 0, GET_COMMAND_LINE, room.try_into()?];
    for (to, from) in message.iter_mut().zip(words) {
        *to = u32::to_le(from);
    }
    Ok(message)
}

impl Firmware {
    /// Returns the request as bytes.
    fn orders(&self) -> &[u8] {
        AsBytes::as_bytes(self.request.as_slice())
    }
}

impl Master for Firmware {
    fn describe(&self) -> Description {
        Description {
            name: "mailbox",
            data: Data::CommandLine,
            alignment: ALIGNMENT,
            max_fill: self.orders().len(),
            orders: self.orders().len(),
            max_copy: 0,
        }
    }

    fn fill(&self, target: &Target<'_>) -> Result {
        // From the request to the answer, or another's request could come in between.
        let mut mailbox = self.mailbox.lock();

        // Not over an answer that is on its way.
        mailbox.settle(Delta::ZERO)?;
        target.order(self.orders());
        mailbox.post(target.span().address())?;

        // CAST: The second of two words.
        let code = (u64::from_le(target.answer().ok_or(EINVAL)?) >> 32) as u32;
        if code == SUCCESS {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    fn copy(&self, _source: DmaSpan<'_>, _destination: DmaSpan<'_>) -> Result {
        Err(EOPNOTSUPP)
    }

    fn settle(&self) -> Result {
        self.mailbox.lock().settle(PATIENCE)
    }
}

/// The mailbox, one message at a time.
struct Mailbox {
    dev: ARef<Device>,
    registers: DevresIoMem<{ register::END }>,
    /// A message of the driver's own; there until it has to be given up.
    message: Option<Coherent<LongMessage>>,
    /// What the firmware has been handed and has not handed back.
    posted: Option<u32>,
}

impl Mailbox {
    /// Maps the registers and allocates a message.
    fn new(pdev: &platform::Device<Core<'_>>) -> Result<Self> {
        let dev: &Device<Bound> = pdev.as_ref();

        // Not exclusively, for the reason that `fw_cfg` gives.
        let io = pdev
            .io_request_by_index(0)
            .ok_or(EINVAL)
            .and_then(|request| request.iomap_sized::<{ register::END }>())
            .inspect_err(|error| {
                dev_err!(
                    dev,
                    "reg: cannot map {} bytes of the mailbox's registers: {error:?}\n",
                    register::END
                );
            })?;

        Ok(Self {
            dev: dev.into(),
            registers: io.into_devres()?,
            message: Some(Coherent::zeroed(dev, GFP_KERNEL)?),
            posted: None,
        })
    }

    /// Asks for the command line to learn its length.
    fn command_line_length(&mut self) -> Result<usize> {
        let message = self.message.as_ref().ok_or(ENODEV)?;
        for (index, word) in question(LONGEST)?.iter().enumerate() {
            io_write!(message, [try: index], *word);
        }

        let address = message.dma_address();
        self.post(address)?;

        let message = self.message.as_ref().ok_or(ENODEV)?;
        let code = u32::from_le(io_read!(message, [build: 1]));
        let answer = u32::from_le(io_read!(message, [build: 4]));
        if code != SUCCESS {
            return Err(EIO);
        }
        // CAST: `usize` has at least 32 bits.
        let length = (answer & !ANSWERED) as usize;
        if answer & ANSWERED == 0 || length == 0 || length > LONGEST {
            return Err(EOPNOTSUPP);
        }
        Ok(length)
    }

    /// Hands a message to the firmware, which has no other one, and waits until it comes back.
    ///
    /// # Errors
    ///
    /// - `ETIMEDOUT`: it is not. The firmware may access its memory yet.
    /// - `EINVAL`: the firmware cannot reach the address.
    #[allow(clippy::useless_conversion)] // The configuration decides how wide a DMA address is.
    fn post(&mut self, address: DmaAddress) -> Result {
        let mail = u32::try_from(address)? | CHANNEL;
        let is_free = |status: &u32| status & register::STATUS_FULL == 0;
        read_poll_timeout(
            || self.read(register::WRITE_STATUS),
            is_free,
            INTERVAL,
            PATIENCE,
        )?;

        // What was written to memory before is there when the firmware is told: that is how this
        // accessor is ordered.
        self.registers
            .try_access_with(|io| io.write32(mail, register::WRITE))
            .ok_or(ENODEV)?;
        self.posted = Some(mail);

        self.settle(PATIENCE)
    }

    /// Waits until the firmware has no message of the driver's.
    fn settle(&mut self, patience: Delta) -> Result {
        let Some(posted) = self.posted else {
            return Ok(());
        };

        read_poll_timeout(
            || self.takes(posted),
            |is_there| *is_there,
            INTERVAL,
            patience,
        )?;
        self.posted = None;
        // Nothing is read from memory before the firmware was seen to be done.
        dma_mb(Read);
        Ok(())
    }

    /// Takes mail until this one comes, or there is no more, as far as a mailbox can have any: one
    /// that is not there may never say that it is empty. What is not ours is from before: nobody
    /// waits for it.
    fn takes(&self, posted: u32) -> Result<bool> {
        for _ in 0..DEPTH {
            if self.read(register::READ_STATUS)? & register::STATUS_EMPTY != 0 {
                break;
            }
            if self.read(register::READ)? == posted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read(&self, register: usize) -> Result<u32> {
        self.registers
            .try_access_with(|io| io.try_read32(register))
            .ok_or(ENODEV)?
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // As in `fw_cfg`: who has not answered may do so at any time.
        if self.settle(PATIENCE).is_err() {
            dev_err!(
                self.dev,
                "mailbox: the firmware does not answer: memory is lost\n"
            );
            core::mem::forget(self.message.take());
        }
    }
}
