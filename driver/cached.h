/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of cached.c, for ordinary pages that a device and user space share (ext/cached.rs).
 */

#ifndef FAULTLINE_CACHED_H
#define FAULTLINE_CACHED_H

#ifdef __BINDGEN__
typedef unsigned long size_t;
#endif

/*
 * Allocates zeroed pages that follow each other, each with a reference of its own, and returns where the
 * kernel has them mapped; or NULL. @zone says how low they must be: 0 anywhere, 1 where 32 bits reach,
 * 2 where the most limited devices do.
 */
void *faultline_pages_alloc(size_t size, unsigned int zone);

/* Drops one reference of each page. */
void faultline_pages_free(void *pages, size_t size);

/* dma_map_page() in both directions; false if there is no mapping, which the log does not say. */
bool faultline_pages_map(struct device *dev, void *pages, size_t size, u64 *address);

/* dma_unmap_page(), without a copy or cache maintenance. */
void faultline_pages_unmap(struct device *dev, u64 address, size_t size);

/* dma_sync_single_range_for_cpu() and _for_device(). @direction is an enum dma_data_direction. */
void faultline_pages_sync_for_cpu(struct device *dev, u64 address, size_t offset, size_t size,
				  unsigned int direction);
void faultline_pages_sync_for_device(struct device *dev, u64 address, size_t offset, size_t size,
				     unsigned int direction);

/* Waits until each page has been unlocked by the tasks that have it locked now. */
void faultline_pages_wait(void *pages, size_t size);

/* Answers a fault by a page, locked, with a reference of the fault's; and takes that back. */
void faultline_page_provide(struct vm_fault *vmf, void *page);
void faultline_page_take_back(struct vm_fault *vmf);

/* Sets the flags of a VMA of ordinary pages. */
void faultline_desc_set_up_pages(struct vm_area_desc *desc);

#endif
