// SPDX-License-Identifier: GPL-2.0
/*
 * What no Rust binding reaches: macros, static inline functions, and one exported function whose
 * header the bindings do not include. One line of work each; every decision is made in Rust.
 * helpers.h says what they do.
 */

#include <linux/cc_platform.h>
#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mount.h>
#include <linux/page_table_check.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>
#include <linux/pseudo_fs.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#include "helpers.h"

/*
 * The kind of VMA. docs/vm-fault.md says why: pagemap shows what is in the first, and the second is
 * right where an entry cannot be special. There pte_mkspecial() does nothing, and the kernel takes every
 * entry of a shared VMA of the second kind for special (__vm_normal_page() in mm/memory.c). So entries
 * are made and inserted in one way for both.
 */
#ifdef CONFIG_ARCH_HAS_PTE_SPECIAL
#define FAULTLINE_VMA_BIT VMA_MIXEDMAP_BIT
#else
#define FAULTLINE_VMA_BIT VMA_PFNMAP_BIT
#endif

bool faultline_dev_is_dma_coherent(struct device *dev)
{
	return dev_is_dma_coherent(dev);
}

bool faultline_memory_is_encrypted(void)
{
	return cc_platform_has(CC_ATTR_MEM_ENCRYPT);
}

bool faultline_desc_is_shared(const struct vm_area_desc *desc)
{
	return vma_desc_test(desc, VMA_MAYSHARE_BIT);
}

bool faultline_desc_forbid_exec(struct vm_area_desc *desc)
{
	if (vma_desc_test(desc, VMA_EXEC_BIT))
		return false;
	vma_desc_clear_flags(desc, VMA_MAYEXEC_BIT);
	return true;
}

void faultline_desc_set_up(struct vm_area_desc *desc, bool uncached, bool huge)
{
	vma_desc_set_flags(desc, FAULTLINE_VMA_BIT, VMA_IO_BIT, VMA_DONTEXPAND_BIT, VMA_DONTDUMP_BIT);
	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) && huge)
		vma_desc_set_flags(desc, VMA_HUGEPAGE_BIT);
	if (uncached)
		desc->page_prot = pgprot_dmacoherent(desc->page_prot);
}

const unsigned long faultline_ptes_per_table = PTRS_PER_PTE;

static bool faultline_is_writable(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE);
}

/* set_ptes(), for special entries of user space, where there are none yet. */
static void faultline_set_ptes(struct mm_struct *mm, unsigned long addr, pte_t *pte, pte_t entry,
			       unsigned int nr)
{
#if defined(CONFIG_ARM64) && (defined(CONFIG_DEBUG_VM) || defined(CONFIG_ARM64_MTE)) && defined(MODULE)
	/*
	 * There set_ptes() refers to functions that are not exported: with DEBUG_VM, to
	 * pgattr_change_is_safe(), which it calls where a valid entry is replaced; with MTE, to
	 * mte_sync_tags(), which it calls for an entry that is not special. For these entries it calls
	 * neither, which a compiler need not see. Without them it does this, and marks entries that a TLB
	 * can keep as one (contpte_set_ptes()): here they have no mark. __set_pte() has barriers for
	 * entries of the kernel alone, as set_ptes() has.
	 */
	page_table_check_ptes_set(mm, addr, pte, entry, nr);
	for (; nr; nr--, pte++, entry = pte_next_pfn(entry))
		__set_pte(pte, entry);
#elif defined(CONFIG_ARM) && defined(MODULE)
	/*
	 * There set_ptes() is no inline function, and not exported. For an entry of user space it does
	 * this. If the entry is not special it also synchronises the instruction cache, of which a VMA
	 * that can never be executable has no need.
	 */
	for (; nr; nr--, pte++, entry = pte_next_pfn(entry))
		set_pte_ext(pte, entry, PTE_EXT_NG);
#else
	/* To say here what the entries are spares the compiler what set_ptes() does for others. */
	set_ptes(mm, addr, pte, pte_mkspecial(entry), nr);
#endif
}

/* @pmd[1] is written, too, where one PMD is two entries of the CPU's (32-bit ARM without LPAE). */
static void faultline_pmd_populate(struct mm_struct *mm, pmd_t *pmd, pgtable_t table)
{
#if defined(CONFIG_ARM) && !defined(CONFIG_ARM_LPAE) && defined(MODULE)
	/*
	 * There pmd_populate() refers to user_pmd_table, which is not exported, and which has this value
	 * (build_mem_type_table() in arch/arm/mm/mmu.c): with the bit that keeps the kernel from executing
	 * user space's memory on CPUs that have it, which ARMv6 has not.
	 */
	pmdval_t prot = _PAGE_USER_TABLE;

	if ((read_cpuid_ext(CPUID_EXT_MMFR0) & 0xf) >= 4)
		prot |= PMD_PXNTABLE;
	__pmd_populate(pmd, page_to_phys(table), prot);
#elif defined(CONFIG_ARM64) && defined(CONFIG_DEBUG_VM) && defined(MODULE)
	/*
	 * There pmd_populate() makes sure that @mm is not init_mm, which is not exported, and does this.
	 */
	__pmd_populate(pmd, page_to_phys(table), PMD_TYPE_TABLE | PMD_TABLE_AF | PMD_TABLE_PXN);
#else
	pmd_populate(mm, pmd, table);
#endif
}

/* Whether the kernel takes every entry of the VMA that has a PFN for special. */
static bool faultline_can_hold_pfns(const struct vm_area_struct *vma)
{
	/* A private VMA may hold copies of pages beside: a PFN is told from them by being special. */
	return IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL) || !vma_is_cow_mapping(vma);
}

static pte_t faultline_entry(struct vm_area_struct *vma, unsigned long pfn)
{
	pte_t entry = pte_mkspecial(pfn_pte(pfn, vma->vm_page_prot));

	/*
	 * On CPUs that do not set the dirty bit themselves the first store to a clean entry would
	 * fault again. Nobody looks at the bit of an entry without a page.
	 */
	if (faultline_is_writable(vma))
		entry = pte_mkwrite(pte_mkdirty(pte_mkyoung(entry)), vma);
	return entry;
}

vm_fault_t faultline_insert_pages(struct vm_fault *vmf, unsigned long addr, unsigned long pfn,
				  unsigned long pages)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	pte_t entry = faultline_entry(vmf->vma, pfn);
	pte_t *table, *pte;
	unsigned long i, n;
	spinlock_t *ptl;
	pmd_t pmd;

	if (!faultline_can_hold_pfns(vmf->vma))
		return VM_FAULT_SIGBUS;

	/*
	 * As pte_offset_map_lock(), which is not exported. PT reclaim (mm/pt_reclaim.c) can take the
	 * table away until its lock is held, but RCU keeps its memory.
	 */
	rcu_read_lock(); /* pte_unmap() ends it. */
	pmd = pmdp_get_lockless(vmf->pmd);
	if (pmd_none(pmd)) {
		rcu_read_unlock();
		return VM_FAULT_FALLBACK;
	}
	if (unlikely(!pmd_present(pmd) || pmd_leaf(pmd) || pmd_bad(pmd))) {
		rcu_read_unlock();
		return VM_FAULT_NOPAGE;
	}
	table = __pte_map(&pmd, addr);
	ptl = pte_lockptr(mm, &pmd);
	spin_lock(ptl);
	if (unlikely(!pmd_same(pmd, pmdp_get_lockless(vmf->pmd))))
		goto unlock;

	for (i = 0, pte = table; i < pages; i += n, pte += n, addr += n << PAGE_SHIFT) {
		bool is_none = pte_none(ptep_get(pte));

		for (n = 1; i + n < pages; n++) {
			if (pte_none(ptep_get(pte + n)) != is_none)
				break;
		}
		if (is_none)
			faultline_set_ptes(mm, addr, pte, pte_advance_pfn(entry, i), n);
	}

unlock:
	pte_unmap_unlock(table, ptl);
	return VM_FAULT_NOPAGE;
}

vm_fault_t faultline_insert_table(struct vm_fault *vmf, unsigned long addr, unsigned long pfn,
				  unsigned long pages)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	spinlock_t *ptl;
	pte_t *table;
	pmd_t pmd[2];

	/*
	 * __do_fault() in mm/memory.c has allocated a table, unless there was one then, which has gone
	 * since. Nothing is allocated here: the next fault brings a new one.
	 */
	if (!vmf->prealloc_pte)
		return VM_FAULT_NOPAGE;

	ptl = pmd_lock(mm, vmf->pmd);
	if (pmd_none(pmdp_get(vmf->pmd))) {
		/*
		 * The table is filled before anybody sees it, and so without its lock. The functions
		 * that map tables go by a PMD: this one is nobody else's, as in __split_huge_pmd().
		 */
		faultline_pmd_populate(mm, pmd, vmf->prealloc_pte);
		rcu_read_lock(); /* pte_unmap() ends it. */
		table = __pte_map(pmd, addr);
		faultline_set_ptes(mm, addr, table, faultline_entry(vmf->vma, pfn), pages);
		pte_unmap(table);

		mm_inc_nr_ptes(mm);
		smp_wmb(); /* The entries come before the table: as in pmd_install(). */
		faultline_pmd_populate(mm, vmf->pmd, vmf->prealloc_pte);
		vmf->prealloc_pte = NULL;
	}
	spin_unlock(ptl);
	return VM_FAULT_NOPAGE;
}

vm_fault_t faultline_insert_pmd(struct vm_fault *vmf, unsigned long pfn, unsigned int order)
{
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)
	/* Where a PMD needs a page table put by, the kernel would allocate one, under our lock. */
	if (order == HPAGE_PMD_ORDER && !arch_needs_pgtable_deposit() &&
	    pmd_none(pmdp_get(vmf->pmd)))
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

unsigned long faultline_copy_to_user(void *to, const void *from, unsigned long size)
{
	unsigned long missing;

	pagefault_disable();
	missing = __copy_to_user_inatomic((__force void __user *)to, from, size);
	pagefault_enable();
	return size - missing;
}

unsigned long faultline_copy_from_user(void *to, const void *from, unsigned long size)
{
	unsigned long missing;

	pagefault_disable();
	missing = __copy_from_user_inatomic(to, (__force const void __user *)from, size);
	pagefault_enable();
	return size - missing;
}

int faultline_srcu_init(struct srcu_struct *srcu)
{
	return init_srcu_struct_fast(srcu);
}

void *faultline_srcu_read_lock(struct srcu_struct *srcu)
{
	return (__force void *)srcu_read_lock_fast(srcu);
}

void faultline_srcu_read_unlock(struct srcu_struct *srcu, void *cookie)
{
	srcu_read_unlock_fast(srcu, (__force struct srcu_ctr __percpu *)cookie);
}

/*
 * A file system that is never mounted, for the driver's own inodes, as in DRM. It has no owner: the
 * module would be in use as long as a device is bound. Every inode is given back by a function of the
 * module, and the last one takes the file system along (simple_release_fs()).
 */
static int faultline_fs_init(struct fs_context *fc)
{
	return init_pseudo(fc, 0x6661756c) ? 0 : -ENOMEM;
}

static struct file_system_type faultline_fs = {
	.name = "faultline",
	.init_fs_context = faultline_fs_init,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *faultline_mount;
static int faultline_mount_count;

struct inode *faultline_inode_new(void)
{
	struct inode *inode;
	int err;

	err = simple_pin_fs(&faultline_fs, &faultline_mount, &faultline_mount_count);
	if (err)
		return ERR_PTR(err);

	inode = alloc_anon_inode(faultline_mount->mnt_sb);
	if (IS_ERR(inode))
		simple_release_fs(&faultline_mount, &faultline_mount_count);
	return inode;
}

void faultline_inode_free(struct inode *inode)
{
	iput(inode);
	simple_release_fs(&faultline_mount, &faultline_mount_count);
}

bool faultline_is_append(const struct kiocb *kiocb)
{
	return kiocb->ki_flags & IOCB_APPEND;
}

unsigned long faultline_cma_pages(void)
{
	unsigned long pages = 0;
#ifdef CONFIG_CMA
	int node, zone;

	/* totalcma_pages is not exported. */
	for_each_online_node(node) {
		for (zone = 0; zone < MAX_NR_ZONES; zone++)
			pages += zone_cma_pages(&NODE_DATA(node)->node_zones[zone]);
	}
#endif
	return pages;
}

unsigned long faultline_free_cma_pages(void)
{
#ifdef CONFIG_CMA
	return global_zone_page_state(NR_FREE_CMA_PAGES);
#else
	return 0;
#endif
}
