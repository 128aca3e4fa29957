// SPDX-License-Identifier: GPL-2.0
/*
 * What reserved memory needs and no Rust binding reaches. One line of work each, except for the description of a
 * region; every decision is made in Rust. reserved_memory.h says what the functions do.
 */

#include <linux/device.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/string.h>

#include "helpers.h"

int faultline_region_count(const struct device *dev)
{
	return of_count_phandle_with_args(dev->of_node, "memory-region", NULL);
}

int faultline_region_describe(const struct device *dev, struct faultline_region *region)
{
	struct device_node *node = of_parse_phandle(dev->of_node, "memory-region", 0);
	const struct reserved_mem *reserved;

	if (!node)
		return -ENODEV;

	strscpy(region->name, kbasename(node->full_name));
	reserved = of_reserved_mem_lookup(node);
	region->base = reserved ? reserved->base : 0;
	region->size = reserved ? reserved->size : 0;
	region->is_enabled = of_device_is_available(node);
	region->is_pool = of_device_is_compatible(node, "shared-dma-pool");
	region->is_reusable = of_property_present(node, "reusable");
	region->is_no_map = of_property_present(node, "no-map");
	of_node_put(node);

	/* Where something else is, the kernel does not reserve the region, but keeps it in its list. */
	if (region->is_no_map &&
	    region_intersects(region->base, region->size, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT)
		region->size = 0;
	return 0;
}

int faultline_region_assign(struct device *dev)
{
	return of_reserved_mem_device_init(dev);
}

void faultline_region_release(struct device *dev)
{
	of_reserved_mem_device_release(dev);
}
