// SPDX-License-Identifier: GPL-2.0
/*
 * What dma-bufs need and no Rust binding reaches: macros, static inline functions, and functions that a
 * kernel without CONFIG_DMA_SHARED_BUFFER does not have. Every decision is made in Rust. dma_buf.h says
 * what they do.
 */

#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/iommu-dma.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>

#include "helpers.h"

#ifdef CONFIG_DMA_SHARED_BUFFER
MODULE_IMPORT_NS("DMA_BUF");

struct dma_buf *faultline_dma_buf_export(const struct dma_buf_ops *ops, size_t size, void *priv,
					 struct address_space *mapping)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *buf;

	info.ops = ops;
	info.size = size;
	info.flags = O_RDWR;
	info.priv = priv;
	buf = dma_buf_export(&info);
	/* Nobody else has the file yet. */
	if (!IS_ERR(buf))
		buf->file->f_mapping = mapping;
	return buf;
}

int faultline_dma_buf_fd(struct dma_buf *buf)
{
	return dma_buf_fd(buf, O_CLOEXEC);
}

void faultline_dma_buf_put(struct dma_buf *buf)
{
	dma_buf_put(buf);
}

void faultline_dma_buf_set_ops(struct dma_buf *buf, const struct dma_buf_ops *ops)
{
	dma_resv_lock(buf->resv, NULL);
	WRITE_ONCE(buf->ops, ops);
	dma_resv_unlock(buf->resv);
}

bool faultline_dma_buf_invalidate(struct dma_buf *buf, unsigned int *milliseconds)
{
	long left;

	dma_resv_lock(buf->resv, NULL);
	dma_buf_invalidate_mappings(buf);
	dma_resv_unlock(buf->resv);

	/* Without time it looks once. */
	left = dma_resv_wait_timeout(buf->resv, DMA_RESV_USAGE_BOOKKEEP, false,
				     msecs_to_jiffies(*milliseconds));
	*milliseconds = left > 0 ? jiffies_to_msecs(left) : 0;
	return left > 0;
}

int faultline_dma_buf_wait(struct dma_buf *buf, bool is_write)
{
	long left = dma_resv_wait_timeout(buf->resv, dma_resv_usage_rw(is_write), true,
					  MAX_SCHEDULE_TIMEOUT);

	return left < 0 ? left : 0;
}

#else /* !CONFIG_DMA_SHARED_BUFFER: there is no dma-buf to call the others for. */

struct dma_buf *faultline_dma_buf_export(const struct dma_buf_ops *ops, size_t size, void *priv,
					 struct address_space *mapping)
{
	return ERR_PTR(-EOPNOTSUPP);
}

int faultline_dma_buf_fd(struct dma_buf *buf)
{
	return -EOPNOTSUPP;
}

void faultline_dma_buf_put(struct dma_buf *buf)
{
}

void faultline_dma_buf_set_ops(struct dma_buf *buf, const struct dma_buf_ops *ops)
{
}

bool faultline_dma_buf_invalidate(struct dma_buf *buf, unsigned int *milliseconds)
{
	return true;
}

int faultline_dma_buf_wait(struct dma_buf *buf, bool is_write)
{
	return 0;
}
#endif

struct page *faultline_page_of(unsigned long pfn)
{
	/* Memory that is no-map can have a struct page, in which PG_reserved alone is set up. */
	if (!pfn_valid(pfn) || PageReserved(pfn_to_page(pfn)))
		return NULL;
	return pfn_to_page(pfn);
}

/* Whole pages are never bounced behind an IOMMU. arch/arm has operations of its own for one. */
static bool faultline_has_iommu(struct device *dev)
{
	return use_dma_iommu(dev) || (IS_ENABLED(CONFIG_ARM_DMA_USE_IOMMU) && get_dma_ops(dev));
}

bool faultline_is_bounced(struct device *dev, u64 addr, void *pages)
{
	return !faultline_has_iommu(dev) && addr != phys_to_dma(dev, virt_to_phys(pages));
}

/* Whether the device has the pages themselves. */
static bool faultline_is_direct(struct device *dev, struct sg_table *table)
{
	struct scatterlist *sg;
	int i;

	if (faultline_has_iommu(dev))
		return true;
	for_each_sgtable_sg(table, sg, i) {
		if (sg_dma_address(sg) != phys_to_dma(dev, sg_phys(sg)))
			return false;
	}
	return true;
}

int faultline_sg_map(struct device *dev, struct sg_table *table, struct page **pages,
		     unsigned int count, unsigned int direction, bool is_in_sync)
{
	unsigned long attrs = is_in_sync ? DMA_ATTR_SKIP_CPU_SYNC : 0;
	int err;

	err = sg_alloc_table_from_pages_segment(table, pages, count, 0, (size_t)count << PAGE_SHIFT,
						max_t(unsigned int, dma_get_max_seg_size(dev), PAGE_SIZE),
						GFP_KERNEL);
	if (err)
		return err;

	err = dma_map_sgtable(dev, table, direction, attrs);
	if (!err && !faultline_is_direct(dev, table)) {
		dma_unmap_sgtable(dev, table, direction, attrs);
		err = -EIO;
	}
	if (err)
		sg_free_table(table);
	return err;
}

void faultline_sg_unmap(struct device *dev, struct sg_table *table, unsigned int direction,
			bool is_in_sync)
{
	dma_unmap_sgtable(dev, table, direction, is_in_sync ? DMA_ATTR_SKIP_CPU_SYNC : 0);
	sg_free_table(table);
}

void faultline_pages_get(void *pages, size_t size)
{
	void *page;

	for (page = pages; page < pages + size; page += PAGE_SIZE)
		get_page(virt_to_page(page));
}
