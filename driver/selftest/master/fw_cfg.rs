// SPDX-License-Identifier: GPL-2.0

//! QEMU's fw_cfg device as a bus master.
//!
//! By fw_cfg the host hands *items* to the guest, each under a key. Next to registers that give out
//! an item byte by byte there is a DMA interface: the guest writes the address of a request to a
//! register, and the device reads the request, moves data between the item and the guest's memory,
//! and marks the request as done. Everything is big-endian.
//!
//! - [`fill`](Master::fill) reads the item [`NONCE`], which the host makes up for each boot.
//! - [`copy`](Master::copy) writes to the item [`NOTE`] and reads it back: the device keeps it.
//!   Linux tells the host about crash dumps that way; the host looks at it when one is asked for.
//!
//! Specification: `docs/specs/fw_cfg.rst` in QEMU's sources; C header:
//! [`include/uapi/linux/qemu_fw_cfg.h`](srctree/include/uapi/linux/qemu_fw_cfg.h)

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
    time::Delta, //
};

/// The item that the host makes up for each boot.
const NONCE: &[u8] = b"opt/org.faultline/nonce";

/// The item that a guest may write to, and read back.
const NOTE: &[u8] = b"etc/vmcoreinfo";

/// How long the device may take. QEMU answers before the register's write has returned.
const PATIENCE: Delta = Delta::from_secs(1);

/// How often to look whether it has.
const INTERVAL: Delta = Delta::from_micros(10);

/// The registers, by their offsets: data, selector, the DMA address in two halves, and the end.
mod register {
    pub(super) const DATA: usize = 0;
    pub(super) const SELECTOR: usize = 8;
    pub(super) const DMA_HIGH: usize = 16;
    pub(super) const DMA_LOW: usize = 20;
    pub(super) const END: usize = 24;
}

/// The keys of items that every fw_cfg has.
mod key {
    pub(super) const SIGNATURE: u16 = 0;
    pub(super) const FEATURES: u16 = 1;
    pub(super) const DIRECTORY: u16 = 0x19;
}

/// The bit of the item of features that says that there is DMA.
const FEATURE_DMA: u8 = 1 << 1;

/// A request's `control` word: what is to be done, and in its upper half the key to select.
mod control {
    pub(super) const ERROR: u32 = 1 << 0;
    pub(super) const READ: u32 = 1 << 1;
    pub(super) const SELECT: u32 = 1 << 3;
    pub(super) const WRITE: u32 = 1 << 4;

    /// Selects an item, from its beginning.
    pub(super) const fn select(key: u16) -> u32 {
        SELECT | (key as u32) << 16
    }
}

/// A request: `control`, `length`, and the address in two halves.
type Request = [u32; 4];

/// An entry of the directory: size, key, two bytes of nothing, and a name that ends with a zero.
type Entry = [u8; 64];

/// More entries than any QEMU has.
const MAX_ENTRIES: u32 = 4096;

/// An item with a name.
#[derive(Clone, Copy)]
struct Item {
    key: u16,
    size: usize,
}

/// The device, as a bus master.
#[pin_data]
struct FwCfg {
    nonce: Option<Item>,
    note: Option<Item>,
    #[pin]
    engine: Mutex<Engine>,
}

/// Claims the fw_cfg device whose registers the node's `reg` gives.
///
/// # Errors
///
/// The log has the reason.
///
/// - `ENODEV`: there is no such device, or it has no DMA.
/// - `EINVAL`: the node has no registers, or too few.
/// - `EIO`, `ETIMEDOUT`: its DMA does not work.
pub(crate) fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Arc<dyn Master>> {
    let dev: &Device<Bound> = pdev.as_ref();

    let mut engine = Engine::new(pdev)?;
    let [nonce, note] = engine.find([NONCE, NOTE]).inspect_err(|error| {
        dev_err!(dev, "fw_cfg: cannot read the directory by DMA: {error:?}\n");
    })?;

    Ok(Arc::pin_init(
        pin_init!(FwCfg {
            nonce,
            note,
            engine <- new_mutex!(engine, "FwCfg::engine"),
        }),
        GFP_KERNEL,
    )?)
}

impl Master for FwCfg {
    fn describe(&self) -> Description {
        let size = |item: Option<Item>| item.map_or(0, |item| item.size);

        Description {
            name: "fw_cfg",
            data: Data::Nonce,
            alignment: 1,
            max_fill: size(self.nonce),
            orders: 0,
            max_copy: size(self.note),
        }
    }

    fn fill(&self, target: &Target<'_>) -> Result {
        let nonce = self.nonce.ok_or(EOPNOTSUPP)?;

        self.engine.lock().read(Some(nonce.key), target.span())
    }

    fn copy(&self, source: DmaSpan<'_>, destination: DmaSpan<'_>) -> Result {
        let note = self.note.ok_or(EOPNOTSUPP)?;

        let mut engine = self.engine.lock();
        engine.write(note.key, source)?;
        engine.read(Some(note.key), destination)
    }

    fn settle(&self) -> Result {
        self.engine.lock().settle(PATIENCE)
    }
}

/// The DMA interface, one request at a time.
struct Engine {
    dev: ARef<Device>,
    registers: DevresIoMem<{ register::END }>,
    /// There until it has to be given up.
    memory: Option<Memory>,
    /// Whether the device has a request that it has not been seen to finish.
    is_busy: bool,
}

/// What the device accesses beside the buffer.
struct Memory {
    request: Coherent<Request>,
    entry: Coherent<Entry>,
}

impl Engine {
    /// Maps the registers, checks what is behind them and allocates what requests take.
    fn new(pdev: &platform::Device<Core<'_>>) -> Result<Self> {
        let dev: &Device<Bound> = pdev.as_ref();

        // Not exclusively, though it should be: `Resource::request_region()` claims the range below
        // the device's own resource, and the claim is released below the root, where no resource
        // of a device-tree node is. It would stay claimed, under a name that is freed.
        let io = pdev
            .io_request_by_index(0)
            .ok_or(EINVAL)
            .and_then(|request| request.iomap_sized::<{ register::END }>())
            .inspect_err(|error| {
                dev_err!(
                    dev,
                    "reg: cannot map {} bytes of fw_cfg's registers: {error:?}\n",
                    register::END
                );
            })?;

        let item = |key: u16| -> [u8; 4] {
            // The accessors are little-endian.
            (&io).write16(key.swap_bytes(), register::SELECTOR);
            core::array::from_fn(|_| (&io).read8(register::DATA))
        };
        let signature = item(key::SIGNATURE);
        if signature != *b"QEMU" {
            dev_err!(
                dev,
                "reg: no fw_cfg there: its signature is {signature:x?}\n"
            );
            return Err(ENODEV);
        }
        let features = item(key::FEATURES);
        if features[0] & FEATURE_DMA == 0 {
            dev_err!(dev, "fw_cfg has no DMA: its features are {features:x?}\n");
            return Err(ENODEV);
        }

        Ok(Self {
            dev: dev.into(),
            registers: io.into_devres()?,
            memory: Some(Memory {
                request: Coherent::zeroed(dev, GFP_KERNEL)?,
                entry: Coherent::zeroed(dev, GFP_KERNEL)?,
            }),
            is_busy: false,
        })
    }

    /// Looks for items by their names.
    fn find<const N: usize>(&mut self, names: [&[u8]; N]) -> Result<[Option<Item>; N]> {
        let mut found = [None; N];

        let [a, b, c, d, ..] = self.read_entry::<4>(Some(key::DIRECTORY))?;
        let count = u32::from_be_bytes([a, b, c, d]);
        if count > MAX_ENTRIES {
            return Err(EIO);
        }
        for _ in 0..count {
            // Without a key: from where the one before it ended.
            let [s0, s1, s2, s3, k0, k1, _, _, name @ ..] = self.read_entry::<64>(None)?;
            let end = name.iter().position(|&byte| byte == 0);
            let name = &name[..end.unwrap_or(name.len())];

            if let Some(index) = names.iter().position(|wanted| *wanted == name) {
                found[index] = Some(Item {
                    key: u16::from_be_bytes([k0, k1]),
                    size: u32::from_be_bytes([s0, s1, s2, s3]).try_into()?,
                });
            }
        }

        Ok(found)
    }

    /// Reads `N` bytes of an item, and returns them with what was there before behind them.
    fn read_entry<const N: u32>(&mut self, key: Option<u16>) -> Result<Entry> {
        const { assert!(N as usize <= size_of::<Entry>()) };

        let address = self.memory()?.entry.dma_address();
        self.transfer(control::READ | key.map_or(0, control::select), address, N)?;
        Ok((&self.memory()?.entry).copy_read())
    }

    /// Has the device write an item to memory, from its beginning if a key is given.
    fn read(&mut self, key: Option<u16>, target: DmaSpan<'_>) -> Result {
        self.transfer(
            control::READ | key.map_or(0, control::select),
            target.address(),
            target.length().try_into()?,
        )
    }

    /// Has the device read memory, into an item from its beginning.
    fn write(&mut self, key: u16, source: DmaSpan<'_>) -> Result {
        self.transfer(
            control::WRITE | control::select(key),
            source.address(),
            source.length().try_into()?,
        )
    }

    /// Hands a request to the device and waits until it is done.
    ///
    /// # Errors
    ///
    /// - `ETIMEDOUT`: it is not, or an earlier one is not. The device may access the memory yet.
    /// - `EIO`: the device could not do it.
    fn transfer(&mut self, control: u32, address: DmaAddress, length: u32) -> Result {
        // Not to be asked twice to wait for the same thing.
        self.settle(Delta::ZERO)?;

        let request = &self.memory()?.request;
        let [high, low] = halves(address);
        io_write!(request, [build: 1], length.to_be());
        io_write!(request, [build: 2], high.to_be());
        io_write!(request, [build: 3], low.to_be());
        io_write!(request, [build: 0], control.to_be());

        let [high, low] = halves(request.dma_address());
        self.registers
            .try_access_with(|io| {
                // What was written to memory before is there when the device is told: that is how
                // these accessors are ordered. The second half starts the device.
                io.write32(high.swap_bytes(), register::DMA_HIGH);
                io.write32(low.swap_bytes(), register::DMA_LOW);
            })
            .ok_or(ENODEV)?;
        self.is_busy = true;

        self.settle(PATIENCE)?;
        if self.control()? & control::ERROR != 0 {
            return Err(EIO);
        }
        Ok(())
    }

    /// Waits until the device has nothing to do.
    fn settle(&mut self, patience: Delta) -> Result {
        if self.is_busy {
            // The device clears all bits but the one for an error.
            let is_done = |control: &u32| control & !control::ERROR == 0;

            read_poll_timeout(|| self.control(), is_done, INTERVAL, patience)?;
            self.is_busy = false;
            // Nothing is read from memory before the device was seen to be done.
            dma_mb(Read);
        }
        Ok(())
    }

    /// Returns the request's `control` word, which the device writes to when it is done.
    fn control(&self) -> Result<u32> {
        Ok(u32::from_be(io_read!(&self.memory()?.request, [build: 0])))
    }

    fn memory(&self) -> Result<&Memory> {
        self.memory.as_ref().ok_or(ENODEV)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A device that has not answered may do so at any time, and would write to what belongs to
        // somebody else by then. Lost memory is the lesser evil. The buffer's owner asks for itself.
        if self.settle(PATIENCE).is_err() {
            dev_err!(self.dev, "fw_cfg does not answer: memory is lost\n");
            core::mem::forget(self.memory.take());
        }
    }
}

/// Splits an address, the upper half first.
#[allow(clippy::useless_conversion)] // The configuration decides how wide a DMA address is.
fn halves(address: DmaAddress) -> [u32; 2] {
    let address = u64::from(address);

    // CAST: The halves of 64 bits.
    [(address >> 32) as u32, address as u32]
}
