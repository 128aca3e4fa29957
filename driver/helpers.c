// SPDX-License-Identifier: GPL-2.0
/*
 * What no Rust binding reaches: macros, static inline functions, and one exported function whose
 * header the bindings do not include. One line of work each; every decision is made in Rust.
 * Declared in ext/ffi.rs.
 */

#include <linux/anon_inodes.h>
#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
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
 * An inode that nothing else uses, for the sake of its address_space. The kernel hands one out
 * only together with a file, which is given back at once. That takes effect later, when the task
 * returns to user space, so that the operations have to pin the module until then.
 */
struct inode *faultline_anon_inode(const char *name)
{
	static const struct file_operations none = { .owner = THIS_MODULE };
	struct inode *inode;
	struct file *file;

	file = anon_inode_create_getfile(name, &none, NULL, O_RDWR, NULL);
	if (IS_ERR(file))
		return ERR_CAST(file);

	inode = file_inode(file);
	ihold(inode);
	fput(file);
	return inode;
}
