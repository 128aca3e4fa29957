/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of dma_buf.c, for buffers that other devices import (ext/dma_buf.rs).
 */

#ifndef FAULTLINE_DMA_BUF_H
#define FAULTLINE_DMA_BUF_H

#ifdef __BINDGEN__
typedef unsigned long size_t;
#endif

struct address_space;
struct dma_buf;
struct dma_buf_ops;
struct page;
struct sg_table;

/*
 * dma_buf_export() of a dma-buf that is open for reading and writing, owned by this module, and whose
 * mappings @mapping lists; an error pointer, -EOPNOTSUPP without CONFIG_DMA_SHARED_BUFFER.
 */
struct dma_buf *faultline_dma_buf_export(const struct dma_buf_ops *ops, size_t size, void *priv,
					 struct address_space *mapping);

/* dma_buf_fd(), closed on exec: it takes the reference if it succeeds. */
int faultline_dma_buf_fd(struct dma_buf *buf);

/* dma_buf_put(). */
void faultline_dma_buf_put(struct dma_buf *buf);

/* Gives the dma-buf other operations. */
void faultline_dma_buf_set_ops(struct dma_buf *buf, const struct dma_buf_ops *ops);

/*
 * Calls dma_buf_invalidate_mappings(), and waits until no fence of the dma-buf is unsignalled, for @milliseconds
 * at most, from which what it took is subtracted; false if there still is one.
 */
bool faultline_dma_buf_invalidate(struct dma_buf *buf, unsigned int *milliseconds);

/*
 * Waits for the fences that an access of the CPUs has to wait for: of those who write and, if the CPUs do, of
 * those who read; -ERESTARTSYS if a signal arrives.
 */
int faultline_dma_buf_wait(struct dma_buf *buf, bool is_write);

/* The page of a PFN; NULL if there is no struct page, or it is reserved. */
struct page *faultline_page_of(unsigned long pfn);

/* Whether the device's mapping at the DMA address @addr is of a bounce buffer instead of the cached @pages. */
bool faultline_is_bounced(struct device *dev, u64 addr, void *pages);

/*
 * Makes a table of @count pages, of segments as long as @dev takes them, and maps it. The mapping must be of the
 * pages themselves: -EIO if the DMA layer would use a bounce buffer. With @is_in_sync there is nothing to
 * synchronise.
 */
int faultline_sg_map(struct device *dev, struct sg_table *table, struct page **pages,
		     unsigned int count, unsigned int direction, bool is_in_sync);
void faultline_sg_unmap(struct device *dev, struct sg_table *table, unsigned int direction,
			bool is_in_sync);

/* Takes one reference of each page. */
void faultline_pages_get(void *pages, size_t size);

#endif
