// SPDX-License-Identifier: GPL-2.0
/*
 * What no Rust binding reaches: macros, static inline functions, and one exported function whose
 * header the bindings do not include. One line of work each; every decision is made in Rust.
 * Declared in ext/ffi.rs.
 */

#include <linux/anon_inodes.h>
#include <linux/dma-map-ops.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

bool faultline_dev_is_dma_coherent(struct device *dev)
{
	return dev_is_dma_coherent(dev);
}

void faultline_vma_set_dmacoherent(struct vm_area_struct *vma)
{
	vma->vm_page_prot = pgprot_dmacoherent(vma->vm_page_prot);
}

unsigned long faultline_vaddr_to_pfn(const void *vaddr)
{
	if (is_vmalloc_addr(vaddr))
		return vmalloc_to_pfn(vaddr);
	return PHYS_PFN(virt_to_phys(vaddr));
}

unsigned long faultline_totalram_pages(void)
{
	return totalram_pages();
}

void faultline_pagefault_disable(void)
{
	pagefault_disable();
}

void faultline_pagefault_enable(void)
{
	pagefault_enable();
}

/*
 * A file on an inode of its own, for the sake of the inode's address_space. The operations are
 * empty and have no owner: the file is never opened by user space, so that it need not pin the
 * module; whoever holds it does.
 */
struct file *faultline_anon_file(const char *name)
{
	static const struct file_operations none;

	return anon_inode_create_getfile(name, &none, NULL, O_RDWR, NULL);
}
