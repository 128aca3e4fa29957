/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of reserved_memory.c, for regions of reserved memory (ext/reserved_memory.rs).
 */

#ifndef FAULTLINE_RESERVED_MEMORY_H
#define FAULTLINE_RESERVED_MEMORY_H

/* What the property memory-region of a device's node names first. */
struct faultline_region {
	char name[64]; /* of its node */
	u64 base;
	u64 size; /* 0 if the kernel has not reserved it */
	bool is_enabled;
	bool is_pool; /* compatible with shared-dma-pool */
	bool is_reusable;
	bool is_no_map;
};

/* How many regions there are, or an error number. */
int faultline_region_count(const struct device *dev);

/* -ENODEV if there is none. */
int faultline_region_describe(const struct device *dev, struct faultline_region *region);

/* of_reserved_mem_device_init() and of_reserved_mem_device_release(), include/linux/of_reserved_mem.h. */
int faultline_region_assign(struct device *dev);
void faultline_region_release(struct device *dev);

#endif
