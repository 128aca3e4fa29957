// SPDX-License-Identifier: GPL-2.0
/*
 * What ordinary pages for a device and user space need and no Rust binding reaches: macros and static
 * inline functions. One line of work each; every decision is made in Rust. cached.h says what they do.
 */

#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/pagemap.h>
#include <linux/topology.h>

#include "helpers.h"

void *faultline_pages_alloc(size_t size, unsigned int zone)
{
	static const gfp_t zones[] = { 0, __GFP_DMA32, __GFP_DMA };
	gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL | zones[zone];
	struct page *page = NULL;
	void *pages;

	/* Up to the longest run that the page allocator has (4 MiB with pages of 4 KiB). */
	pages = alloc_pages_exact(size, gfp);
	if (pages)
		return pages;
#ifdef CONFIG_CONTIG_ALLOC
	page = alloc_contig_pages(PHYS_PFN(size), gfp, numa_mem_id(), &node_states[N_MEMORY]);
#endif
	return page ? page_address(page) : NULL;
}

void faultline_pages_free(void *pages, size_t size)
{
	free_pages_exact(pages, size);
}

bool faultline_pages_map(struct device *dev, void *pages, size_t size, u64 *address)
{
	dma_addr_t dma = dma_map_page_attrs(dev, virt_to_page(pages), 0, size, DMA_BIDIRECTIONAL,
					    DMA_ATTR_NO_WARN);

	*address = dma;
	return !dma_mapping_error(dev, dma);
}

void faultline_pages_unmap(struct device *dev, u64 address, size_t size)
{
	dma_unmap_page_attrs(dev, address, size, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

void faultline_pages_sync_for_cpu(struct device *dev, u64 address, size_t offset, size_t size,
				  unsigned int direction)
{
	dma_sync_single_range_for_cpu(dev, address, offset, size, direction);
}

void faultline_pages_sync_for_device(struct device *dev, u64 address, size_t offset, size_t size,
				     unsigned int direction)
{
	dma_sync_single_range_for_device(dev, address, offset, size, direction);
}

void faultline_pages_wait(void *pages, size_t size)
{
	void *page;

	for (page = pages; page < pages + size; page += PAGE_SIZE) {
		lock_page(virt_to_page(page));
		unlock_page(virt_to_page(page));
	}
}

void faultline_page_provide(struct vm_fault *vmf, void *page)
{
	vmf->page = virt_to_page(page);
	get_page(vmf->page);
	lock_page(vmf->page);
}

void faultline_page_take_back(struct vm_fault *vmf)
{
	unlock_page(vmf->page);
	put_page(vmf->page);
	vmf->page = NULL;
}

void faultline_desc_set_up_pages(struct vm_area_desc *desc)
{
	vma_desc_set_flags(desc, VMA_DONTEXPAND_BIT, VMA_DONTDUMP_BIT);
}
