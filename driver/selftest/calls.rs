// SPDX-License-Identifier: GPL-2.0

//! The self-test's calls: `driver/selftest/uapi.rs` says what they mean.

use super::{
    ext::{
        capability,
        translate::{
            self,
            Access, //
        }, //
    },
    imported,
    litmus,
    master::{
        Data,
        Target, //
    },
    uapi::{
        self,
        Copy,
        Fill,
        Frame,
        Translation, //
    },
    SelfTest, //
};
use crate::mapping::{
    Extension,
    SharedBuffer, //
};
use kernel::{
    fs::{
        file::flags,
        LocalFile, //
    },
    ioctl::_IOC_SIZE,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::ArcBorrow,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The calls that change the buffer.
const CHANGING: [u32; 3] = [
    uapi::FAULTLINE_IOC_FILL,
    uapi::FAULTLINE_IOC_COPY,
    uapi::FAULTLINE_IOC_LITMUS,
];

/// Carries out a call; `own` finds the self-test in what is attached to the buffer.
///
/// # Errors
///
/// - `ENOTTY`: there is no such call.
/// - `EBADF`: it changes the buffer, and the file is not open for writing.
/// - Those of the call.
pub(super) fn ioctl<X: Extension>(
    this: ArcBorrow<'_, SharedBuffer<X>>,
    own: impl Fn(&X) -> &SelfTest,
    file: &LocalFile,
    cmd: u32,
    arg: usize,
) -> Result<isize> {
    let argument = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));

    // A read-only file descriptor must not cause writes, by a bus master or a kernel thread, either.
    let is_read_only = file.flags() & flags::O_ACCMODE == flags::O_RDONLY;
    if CHANGING.contains(&cmd) && is_read_only {
        return Err(EBADF);
    }

    match cmd {
        uapi::FAULTLINE_IOC_FRAME => exchange(argument, |question| locate(&this, question))?,
        uapi::FAULTLINE_IOC_TRANSLATE => exchange(argument, |question| translate(&this, question))?,
        uapi::FAULTLINE_IOC_MASTER => argument.writer().write(&describe_master(&this, own)?)?,
        uapi::FAULTLINE_IOC_FILL => exchange(argument, |question| fill(&this, own, question))?,
        uapi::FAULTLINE_IOC_COPY => copy(&this, own, argument.reader().read()?)?,
        uapi::FAULTLINE_IOC_COPY_IMPORTED => {
            imported::copy(&this, own, file, argument.reader().read()?)?
        }
        uapi::FAULTLINE_IOC_LITMUS => {
            exchange(argument, |question| litmus::run(this, own, question))?
        }
        _ => return Err(ENOTTY),
    }

    Ok(0)
}

/// Reads a question from user space and overwrites it with the answer.
fn exchange<T: FromBytes + AsBytes>(
    argument: UserSlice,
    answer: impl FnOnce(T) -> Result<T>,
) -> Result {
    let (mut reader, mut writer) = argument.reader_writer();

    writer.write(&answer(reader.read()?)?)
}

/// Answers [`uapi::FAULTLINE_IOC_FRAME`].
fn locate<X: Extension>(shared: &SharedBuffer<X>, question: Frame) -> Result<Frame> {
    if !capability::may_see_physical_addresses() {
        return Err(EPERM);
    }

    let buffer = shared.borrow()?;
    let offset = usize::try_from(question.offset).map_err(|_| EINVAL)?;
    let pfn = buffer.memory().frame(offset >> PAGE_SHIFT).ok_or(EINVAL)?;

    Ok(Frame {
        // CAST: A physical address can be wider than a pointer, never wider than `u64`; and less
        // than a page.
        physical_address: (pfn as u64) << PAGE_SHIFT | (offset % PAGE_SIZE) as u64,
        ..question
    })
}

/// Answers [`uapi::FAULTLINE_IOC_TRANSLATE`].
fn translate<X: Extension>(shared: &SharedBuffer<X>, question: Translation) -> Result<Translation> {
    const KNOWN: u32 = uapi::TRANSLATE_KERNEL | uapi::TRANSLATE_WRITE;

    let Translation {
        address, request, ..
    } = question;
    if request & !KNOWN != 0 || question.reserved != [0; 5] {
        return Err(EINVAL);
    }

    // A file whose device is gone answers nothing, not even what does not take the device.
    let buffer = shared.borrow()?;
    let access = if request & uapi::TRANSLATE_WRITE != 0 {
        Access::Store
    } else {
        Access::Load
    };
    let translation = if request & uapi::TRANSLATE_KERNEL != 0 {
        usize::try_from(address)
            .ok()
            .and_then(|offset| buffer.memory().translate(offset, access))
            .ok_or(EINVAL)??
    } else {
        // It may wait for the task's `mm`, as nobody may who holds the buffer.
        drop(buffer);
        translate::user(address, access)?
    };

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
            physical_address: if capability::may_see_physical_addresses() {
                mapping.physical_address
            } else {
                0
            },
            ..answer
        },
    })
}

/// Answers [`uapi::FAULTLINE_IOC_MASTER`].
fn describe_master<X: Extension>(
    shared: &SharedBuffer<X>,
    own: impl Fn(&X) -> &SelfTest,
) -> Result<uapi::Master> {
    let master = own(shared.borrow()?.extension()).master()?.describe();
    let ability = |limit, bit| if limit > 0 { bit } else { 0 };

    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(master.name.bytes()) {
        *to = from;
    }
    Ok(uapi::Master {
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
fn fill<X: Extension>(
    shared: &SharedBuffer<X>,
    own: impl Fn(&X) -> &SelfTest,
    question: Fill,
) -> Result<Fill> {
    if question.reserved != 0 {
        return Err(EINVAL);
    }

    // The guard keeps the buffer while the bus master is at it; an unbinding waits.
    let buffer = shared.borrow()?;
    let master = own(buffer.extension()).master()?;
    let description = master.describe();

    let Fill { offset, length, .. } = question;
    let size = buffer.memory().size();
    let range = description.accessible(description.max_fill, size, offset, length)?;
    let length = range.len().min(description.max_fill);
    if length < description.orders {
        return Err(EMSGSIZE);
    }

    buffer.mark_used();
    let target = range.start..range.start + length;
    master.fill(&Target::new(buffer.memory(), target).ok_or(EINVAL)?)?;
    Ok(Fill {
        // CAST: `usize` is no wider than `u64`.
        length: length as u64,
        ..question
    })
}

/// Carries out [`uapi::FAULTLINE_IOC_COPY`].
fn copy<X: Extension>(
    shared: &SharedBuffer<X>,
    own: impl Fn(&X) -> &SelfTest,
    request: Copy,
) -> Result {
    if request.reserved != 0 {
        return Err(EINVAL);
    }

    let buffer = shared.borrow()?;
    let master = own(buffer.extension()).master()?;
    let description = master.describe();
    let limit = description.max_copy;

    let Copy { length, .. } = request;
    let size = buffer.memory().size();
    let source = description.accessible(limit, size, request.source, length)?;
    let destination = description.accessible(limit, size, request.destination, length)?;
    if source.len() > limit {
        return Err(EMSGSIZE);
    }

    buffer.mark_used();
    master.copy(
        buffer.memory().span(source).ok_or(EINVAL)?,
        buffer.memory().span(destination).ok_or(EINVAL)?,
    )
}
