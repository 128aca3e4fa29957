// SPDX-License-Identifier: GPL-2.0
/*
 * What importing a dma-buf needs and no Rust binding reaches: macros, and functions that a kernel without
 * CONFIG_DMA_SHARED_BUFFER does not have. import.h says what they do.
 */

#include <linux/dma-buf.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/scatterlist.h>

#include "helpers.h"

#ifdef CONFIG_DMA_SHARED_BUFFER
struct dma_buf_attachment *faultline_import(struct device *dev, int fd, bool is_written)
{
	struct dma_buf_attachment *attachment = ERR_PTR(-EBADF);
	struct dma_buf *buf = dma_buf_get(fd);

	if (IS_ERR(buf))
		return ERR_CAST(buf);
	if (!is_written || (buf->file->f_mode & FMODE_WRITE))
		attachment = dma_buf_attach(buf, dev);
	if (IS_ERR(attachment))
		dma_buf_put(buf);
	return attachment;
}

void faultline_import_end(struct dma_buf_attachment *attachment)
{
	struct dma_buf *buf = attachment->dmabuf;

	dma_buf_detach(buf, attachment);
	dma_buf_put(buf);
}

struct sg_table *faultline_import_map(struct dma_buf_attachment *attachment)
{
	return dma_buf_map_attachment_unlocked(attachment, DMA_BIDIRECTIONAL);
}

void faultline_import_unmap(struct dma_buf_attachment *attachment, struct sg_table *table)
{
	dma_buf_unmap_attachment_unlocked(attachment, table, DMA_BIDIRECTIONAL);
}

#else /* !CONFIG_DMA_SHARED_BUFFER: there is no attachment to call the others for. */

struct dma_buf_attachment *faultline_import(struct device *dev, int fd, bool is_written)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void faultline_import_end(struct dma_buf_attachment *attachment)
{
}

struct sg_table *faultline_import_map(struct dma_buf_attachment *attachment)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void faultline_import_unmap(struct dma_buf_attachment *attachment, struct sg_table *table)
{
}
#endif

dma_addr_t faultline_import_find(struct sg_table *table, size_t offset, size_t *length)
{
	struct scatterlist *sg;
	dma_addr_t found = 0;
	int i;

	*length = 0;
	for_each_sgtable_dma_sg(table, sg, i) {
		if (*length) {
			/* Entries are as long as the device takes them. */
			if (sg_dma_address(sg) != found + *length)
				break;
			*length += sg_dma_len(sg);
		} else if (offset < sg_dma_len(sg)) {
			found = sg_dma_address(sg) + offset;
			*length = sg_dma_len(sg) - offset;
		} else {
			offset -= sg_dma_len(sg);
		}
	}
	return found;
}
