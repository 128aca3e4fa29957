// SPDX-License-Identifier: GPL-2.0
/*
 * Static inline functions about what lies between a device and memory. dma_direct.h says what they do.
 */

#include <linux/dma-direct.h>
#include <linux/iommu-dma.h>

#include "helpers.h"

bool faultline_uses_iommu(struct device *dev)
{
	return use_dma_iommu(dev);
}

u64 faultline_phys_to_dma(struct device *dev, u64 address)
{
	return phys_to_dma(dev, address);
}
