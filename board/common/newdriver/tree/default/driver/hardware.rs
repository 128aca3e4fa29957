// SPDX-License-Identifier: GPL-2.0

//! The device: its registers, its interrupt, and the call that sets it to work.
//!
//! This is the file to change first. The device is Arm's PL031, the real-time clock that QEMU's `virt`
//! machine has: it counts seconds, and raises its interrupt when the count reaches a value. A program sets
//! that value with [`uapi::FAULTLINE_IOC_ALARM`] and waits with `poll()`. The thread that handles the
//! interrupt writes an [`Event`] to the buffer, which the program has mapped.

pub(crate) mod interrupt;
mod registers;
pub mod uapi;

use crate::{
    buffer::Buffer,
    ext::interrupt::POLL_EVENT,
    length::Length,
    mapping::{
        Extension,
        SharedBuffer, //
    },
};
use kernel::{
    device::Core,
    fs::{
        file::flags,
        File,
        LocalFile, //
    },
    io::{
        mem::DevresIoMem,
        Io, //
    },
    ioctl::{
        _IOC_SIZE,
        _IOW, //
    },
    new_mutex,
    new_poll_condvar,
    platform,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            AtomicFlag,
            Relaxed,
            Release, //
        },
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    time::{
        ClockSource,
        Monotonic, //
    },
    transmute::AsBytes,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use registers::*;
use uapi::{
    Alarm,
    Event, //
};

crosses!(Alarm, in and out, {
    seconds: 4,
    reserved: 4,
});

crosses!(Event, out, {
    number: 4,
    count: 4,
    time: 8,
});

// The number is the one which the kernel's own macro gives.
const _: () = assert!(
    uapi::FAULTLINE_IOC_ALARM == _IOW::<Alarm>(crate::uapi::IOC_TYPE, uapi::NR_ALARM)
);

const _: () = assert!(POLL_EVENT == uapi::POLL_ALARM as u32);

/// The device of one node.
#[pin_data]
pub(crate) struct Hardware {
    /// Taken away when the device is unbound, even if files are still open.
    registers: DevresIoMem<{ registers::SIZE }>,
    has_interrupt: bool,
    /// How many events there have been. Held while the alarm is set, and while it goes off, so that the
    /// event of an earlier alarm is not taken for that of a new one.
    #[pin]
    events: Mutex<u32>,
    /// Whether the alarm has gone off since it was set. Changes under the lock alone.
    is_over: AtomicFlag,
    /// Notified when the alarm goes off.
    #[pin]
    over: PollCondVar,
}

impl Hardware {
    /// Maps the registers of `pdev`, and makes the device quiet.
    ///
    /// # Errors
    ///
    /// The log has the reason.
    ///
    /// - `EINVAL`: the node has no property `reg`, or one that is too short.
    /// - `ENODEV`: they are not those of a PL031.
    fn new(pdev: &platform::Device<Core<'_>>) -> Result<Arc<Self>> {
        let request = pdev.io_request_by_index(0).ok_or_else(|| {
            dev_err!(pdev, "reg: the node has no registers\n");
            EINVAL
        })?;
        // Not `iomap_exclusive_sized()`, which also claims the registers: in Linux 7.3 it does not give
        // them back, so that the device could not be bound a second time
        // (docs/upstream/release-region.md).
        let registers = request
            .iomap_sized::<{ registers::SIZE }>()
            .inspect_err(|error| {
                dev_err!(
                    pdev,
                    "reg: cannot map {} bytes of registers: {error:?}\n",
                    registers::SIZE
                );
            })?;

        let part = (&registers).read(PART_LOW).value().get();
        if part != PART_OF_PL031 {
            dev_err!(pdev, "reg: part number {part:#x}, want that of a PL031\n");
            return Err(ENODEV);
        }
        (&registers).write_reg(INTERRUPT_MASK::zeroed());
        let registers = registers.into_devres()?;

        Arc::pin_init(
            try_pin_init!(Self {
                registers,
                has_interrupt: pdev
                    .as_ref()
                    .fwnode()
                    .is_some_and(|node| node.property_present(c"interrupts")),
                events <- new_mutex!(0, "Hardware::events"),
                is_over: AtomicFlag::new(false),
                over <- new_poll_condvar!("Hardware::over"),
            }),
            GFP_KERNEL,
        )
    }

    /// Answers [`uapi::FAULTLINE_IOC_ALARM`]. Of several callers at a time, the last one counts.
    fn set_alarm(&self, alarm: Alarm) -> Result {
        if alarm.reserved != 0 {
            return Err(EINVAL);
        }
        if !self.has_interrupt {
            return Err(ENXIO);
        }
        let _events = self.events.lock();
        let guard = self.registers.try_access().ok_or(ENODEV)?;
        let registers = &*guard;

        self.is_over.store(false, Relaxed);
        registers.write_reg(INTERRUPT_CLEAR::zeroed().with_const_alarm::<1>());
        registers.write_reg(INTERRUPT_MASK::zeroed().with_const_alarm::<1>());
        // The device compares for equality: a value that is already past is never reached. Where the
        // count went past it before it was written, set the alarm again.
        loop {
            let start = registers.read(COUNT).value().get();
            let end = start.wrapping_add(alarm.seconds);
            registers.write_reg(MATCH::zeroed().with_value(end));
            let now = registers.read(COUNT).value().get();
            if now.wrapping_sub(start) <= alarm.seconds {
                return Ok(());
            }
        }
    }

    /// Handles the interrupt: has `record` write down the event, then wakes those that wait for the alarm,
    /// who see what was written. Returns whether the interrupt is this device's.
    fn go_off(&self, record: impl FnOnce(Event)) -> bool {
        let mut events = self.events.lock();
        let Some(event) = self.take_event(events.wrapping_add(1)) else {
            return false;
        };

        *events = event.number;
        record(event);
        self.is_over.store(true, Release);
        self.over.notify_all();
        true
    }

    /// Takes the interrupt back from the device, and returns what has happened, as the event of this number;
    /// `None` if the interrupt is another device's.
    fn take_event(&self, number: u32) -> Option<Event> {
        let registers = self.registers.try_access()?;

        if registers.read(INTERRUPT_STATUS).alarm().get() == 0 {
            return None;
        }
        registers.write_reg(INTERRUPT_MASK::zeroed());
        registers.write_reg(INTERRUPT_CLEAR::zeroed().with_const_alarm::<1>());
        Some(Event {
            number,
            count: registers.read(COUNT).value().get(),
            // CAST: The clock counts from the start of the machine on, and does not wrap.
            time: Monotonic::ktime_get() as u64,
        })
    }
}

/// Writes `event` to its slot of the buffer, which is a ring of them.
fn record(buffer: &Buffer, length: Length, event: Event) {
    // CAST: `usize` has 32 bits or more.
    let slot = event.number.wrapping_sub(1) as usize % (length.bytes() / size_of::<Event>());

    buffer.poke(slot * size_of::<Event>(), event.as_bytes());
}

impl Extension for Arc<Hardware> {
    fn attach(pdev: &platform::Device<Core<'_>>) -> Result<Self> {
        Hardware::new(pdev)
    }

    fn ioctl<X: Extension>(
        this: ArcBorrow<'_, SharedBuffer<X>>,
        own: impl Fn(&X) -> &Self,
        file: &LocalFile,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        match cmd {
            uapi::FAULTLINE_IOC_ALARM => {
                // The alarm writes to the buffer: a read-only file descriptor must not cause that.
                if file.flags() & flags::O_ACCMODE == flags::O_RDONLY {
                    return Err(EBADF);
                }
                let argument = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));
                let alarm = argument.reader().read()?;
                own(this.borrow()?.extension()).set_alarm(alarm)?;
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn events(&self, file: &File, table: &PollTable<'_>) -> u32 {
        table.register_wait(file, &self.over);

        if self.is_over.load(Acquire) {
            POLL_EVENT
        } else {
            0
        }
    }

    /// The device is unbound: it raises no interrupt any more.
    fn settle(&self) -> Result {
        if let Some(registers) = self.registers.try_access() {
            registers.write_reg(INTERRUPT_MASK::zeroed());
        }
        Ok(())
    }
}
