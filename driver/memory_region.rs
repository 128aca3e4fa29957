// SPDX-License-Identifier: GPL-2.0

//! The property `memory-region`: which region of reserved memory a buffer is in; and what to say where
//! there is not enough memory.

use crate::{
    buffer::Buffer,
    ext::{
        address_space::AddressSpace,
        coherent::MappableCoherent,
        reserved_memory::{
            self,
            AssignedRegion,
            Region, //
        }, //
    },
    length::Length, //
};
use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    platform,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// As [`Buffer::allocate`], from the region that the node of `pdev` names, if it names one.
///
/// # Errors
///
/// The log has the reason.
///
/// - As [`assign`].
/// - As [`MappableCoherent::zeroed`] and [`MappableCoherent::zeroed_in`].
pub(crate) fn allocate(
    pdev: &platform::Device<Core<'_>>,
    dev: &Device<Bound>,
    length: Length,
    space: Arc<AddressSpace>,
) -> Result<Buffer> {
    let node: &Device = pdev.as_ref();
    let Some(region) = assign(pdev)? else {
        return Buffer::allocate(node, dev, length, space);
    };

    let name = CString::try_from_fmt(fmt!("{}", region.region()))?;
    let memory = MappableCoherent::zeroed_in(region, dev, length.pages(), space).inspect_err(
        |&error| {
            let name = &*name;
            if error == ERANGE {
                dev_err!(
                    node,
                    "memory-region: {name}: the device does not reach it, by dma-mask-bits or its bus's dma-ranges\n"
                );
            } else {
                dev_err!(
                    node,
                    "memory-region: {name}: has no {} contiguous bytes free\n",
                    length.bytes()
                );
            }
        },
    )?;
    Ok(Buffer::new(memory))
}

/// Takes the region that the node of `pdev` names, if it names one, for the memory that is allocated
/// next. The device's DMA mask must be set.
///
/// # Errors
///
/// The log has the reason.
///
/// - `EINVAL`: the node does not name one pool of reserved memory that can be used.
/// - As [`Region::assign`].
fn assign(pdev: &platform::Device<Core<'_>>) -> Result<Option<AssignedRegion>> {
    let dev: &Device = pdev.as_ref();
    if !dev
        .fwnode()
        .is_some_and(|node| node.property_present(c"memory-region"))
    {
        return Ok(None);
    }

    match reserved_memory::count(dev) {
        Ok(1) => {}
        Ok(regions) => {
            dev_err!(dev, "memory-region: {regions} regions, want 1\n");
            return Err(EINVAL);
        }
        Err(_) => {
            dev_err!(dev, "memory-region: names no region that there is\n");
            return Err(EINVAL);
        }
    }

    let Ok(region) = Region::of(dev) else {
        dev_err!(dev, "memory-region: names no node that there is\n");
        return Err(EINVAL);
    };
    if let Some(complaint) = complaint(&region) {
        dev_err!(dev, "memory-region: {}: {complaint}\n", region.name());
        return Err(EINVAL);
    }

    let name = CString::try_from_fmt(fmt!("{}", region.name()))?;
    region.assign(pdev).map(Some).inspect_err(|&error| {
        let reason = if error == EOPNOTSUPP {
            "a no-map region cannot be used behind an IOMMU"
        } else {
            "the kernel cannot set up the pool"
        };
        dev_err!(dev, "memory-region: {}: {reason}\n", &*name);
    })
}

/// Returns what is wrong with a region, or `None` if nothing is.
fn complaint(region: &Region) -> Option<&'static str> {
    if !region.is_enabled() {
        Some("the region is disabled")
    } else if region.kind().is_none() {
        Some("want compatible shared-dma-pool, and either reusable or no-map")
    } else if !region.is_reserved() {
        Some("the kernel has not reserved the region: see its messages early at boot")
    } else if !region.has_whole_pages() {
        Some("does not begin and end where pages do")
    } else {
        None
    }
}
