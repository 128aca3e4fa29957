// SPDX-License-Identifier: GPL-2.0
/*
 * What no Rust binding reaches: macros, static inline functions, and one exported function whose
 * header the bindings do not include. One line of work each; every decision is made in Rust.
 * helpers.h says what they do.
 */

#include <linux/anon_inodes.h>
#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_table_check.h>
#include <linux/pgtable.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "helpers.h"

bool faultline_dev_is_dma_coherent(struct device *dev)
{
	return dev_is_dma_coherent(dev);
}

void faultline_vma_set_dmacoherent(struct vm_area_struct *vma)
{
	vma->vm_page_prot = pgprot_dmacoherent(vma->vm_page_prot);
}

#ifndef CONFIG_ARCH_HAS_PTE_SPECIAL
#error "without special page-table entries the kernel would count references to the driver's pages"
#endif

struct faultline_run {
	struct vm_area_struct *vma;
	unsigned long addr;
	unsigned long pfn;
};

static void faultline_set_pte_at(struct mm_struct *mm, unsigned long addr, pte_t *pte, pte_t entry)
{
#if defined(CONFIG_ARM64) && defined(CONFIG_DEBUG_VM) && defined(MODULE)
	/*
	 * Here set_pte_at() checks that a live entry changes in allowed ways only, by a function
	 * that modules do not have. This entry is empty.
	 */
	page_table_check_ptes_set(mm, addr, pte, entry, 1);
	__set_pte(pte, entry);
#elif defined(CONFIG_ARM)
	/*
	 * Here set_pte_at() is a function that modules do not have. It does this, having made the
	 * instruction cache forget what ordinary pages had; this entry is special.
	 */
	page_table_check_ptes_set(mm, addr, pte, entry, 1);
	set_pte_ext(pte, entry, PTE_EXT_NG);
#else
	set_pte_at(mm, addr, pte, entry);
#endif
}

static bool faultline_is_writable(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE);
}

/* Called with the page table's lock held. */
static int faultline_insert_page(pte_t *pte, unsigned long addr, void *data)
{
	const struct faultline_run *run = data;
	struct vm_area_struct *vma = run->vma;
	pte_t entry;

	if (!pte_none(ptep_get(pte)))
		return 0;

	entry = pfn_pte(run->pfn + PHYS_PFN(addr - run->addr), vma->vm_page_prot);
	entry = pte_mkspecial(entry);
	/*
	 * On CPUs that do not set the dirty bit themselves the first store to a clean entry would
	 * fault again. Nobody looks at the bit of a special entry.
	 */
	if (faultline_is_writable(vma))
		entry = pte_mkwrite(pte_mkdirty(pte_mkyoung(entry)), vma);
	faultline_set_pte_at(vma->vm_mm, addr, pte, entry);
	return 0;
}

vm_fault_t faultline_insert_pages(struct vm_fault *vmf, unsigned long addr, unsigned long pfn,
				  unsigned long pages)
{
	struct faultline_run run = { .vma = vmf->vma, .addr = addr, .pfn = pfn };

	/* A block has come in between. */
	if (pmd_leaf(pmdp_get(vmf->pmd)))
		return VM_FAULT_NOPAGE;
	if (apply_to_page_range(vmf->vma->vm_mm, addr, pages << PAGE_SHIFT,
				faultline_insert_page, &run))
		return VM_FAULT_OOM;
	return VM_FAULT_NOPAGE;
}

vm_fault_t faultline_insert_block(struct vm_fault *vmf, unsigned long pfn, unsigned int order)
{
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)
	if (order == HPAGE_PMD_ORDER && pmd_none(pmdp_get(vmf->pmd)))
		return vmf_insert_pfn_pmd(vmf, pfn, faultline_is_writable(vmf->vma));
#endif
	return VM_FAULT_FALLBACK;
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
