/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of dma_direct.c, for what lies between a device and memory (ext/cached.rs,
 * ext/reserved_memory.rs).
 */

#ifndef FAULTLINE_DMA_DIRECT_H
#define FAULTLINE_DMA_DIRECT_H

/* use_dma_iommu(), include/linux/iommu-dma.h. */
bool faultline_uses_iommu(struct device *dev);

/* phys_to_dma(), include/linux/dma-direct.h. */
u64 faultline_phys_to_dma(struct device *dev, u64 address);

#endif
