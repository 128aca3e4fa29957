/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of import.c, for bus masters that import dma-bufs (ext/import.rs).
 */

#ifndef FAULTLINE_SELFTEST_IMPORT_H
#define FAULTLINE_SELFTEST_IMPORT_H

struct device;
struct dma_buf_attachment;
struct sg_table;

/*
 * dma_buf_get() and dma_buf_attach(): an attachment that keeps the dma-buf; an error pointer, -EBADF also if
 * @is_written and the file is not open for writing, -EOPNOTSUPP without CONFIG_DMA_SHARED_BUFFER.
 */
struct dma_buf_attachment *faultline_import(struct device *dev, int fd, bool is_written);
void faultline_import_end(struct dma_buf_attachment *attachment);

/* dma_buf_map_attachment_unlocked() and its opposite, in both directions. */
struct sg_table *faultline_import_map(struct dma_buf_attachment *attachment);
void faultline_import_unmap(struct dma_buf_attachment *attachment, struct sg_table *table);

/*
 * The DMA address of the byte at @offset of what is mapped, and how many bytes follow each other from there on: 0
 * past the end.
 */
dma_addr_t faultline_import_find(struct sg_table *table, size_t offset, size_t *length);

#endif
