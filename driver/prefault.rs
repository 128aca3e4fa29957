// SPDX-License-Identifier: GPL-2.0

//! The call that maps a range before it is touched, for programs that must not fault later.

use crate::{
    ext::prefault::populate,
    mapping::{
        Extension,
        SharedBuffer, //
    },
    uapi::{
        Prefault,
        FAULTLINE_IOC_PREFAULT,
        IOC_TYPE,
        NR_PREFAULT, //
    }, //
};
use core::ops::Range;
use kernel::{
    ioctl::_IOW,
    page::PAGE_SIZE,
    prelude::*,
    uaccess::UserSlice, //
};

crosses!(Prefault, in and out, {
    address: 8,
    length: 8,
});

// The number is the one which the kernel's own macro gives.
const _: () = assert!(FAULTLINE_IOC_PREFAULT == _IOW::<Prefault>(IOC_TYPE, NR_PREFAULT));

/// Carries out [`FAULTLINE_IOC_PREFAULT`].
///
/// The faults borrow the buffer themselves: here it must not be, because a fault may have to wait for
/// user space's memory.
pub(crate) fn ioctl<X: Extension>(shared: &SharedBuffer<X>, argument: UserSlice) -> Result {
    let addresses = whole_pages(argument.reader().read()?).ok_or(EINVAL)?;

    shared.borrow()?;
    populate(shared.address_space(), addresses).map_err(|error| match shared.borrow() {
        Ok(_) => error,
        // That is why a fault ended in a signal.
        Err(gone) => gone,
    })
}

/// Returns the addresses of a request, if they are whole pages, and some.
fn whole_pages(request: Prefault) -> Option<Range<usize>> {
    let end = request.address.checked_add(request.length)?;
    let addresses = usize::try_from(request.address).ok()?..usize::try_from(end).ok()?;

    let are_whole = (addresses.start | addresses.end) % PAGE_SIZE == 0;
    (are_whole && !addresses.is_empty()).then_some(addresses)
}

#[kunit_tests(faultline_prefault)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        const PAGE: u64 = PAGE_SIZE as u64;
        // The last page of the address space: its end wraps around.
        const LAST: u64 = usize::MAX as u64 - (PAGE - 1);

        let is_good = |address, length| whole_pages(Prefault { address, length }).is_some();
        assert!(is_good(0, PAGE));
        assert!(is_good(PAGE, 3 * PAGE));
        assert!(is_good(LAST - PAGE, PAGE));
        for (address, length) in [
            (PAGE, 0),
            (0, 1),
            (0, PAGE + 1),
            (1, PAGE),
            (1, PAGE - 1),
            (LAST, PAGE),
            (LAST, 2 * PAGE),
            (PAGE, u64::MAX - (PAGE - 1)),
            (PAGE, u64::MAX),
        ] {
            assert!(!is_good(address, length));
        }
    }
}
