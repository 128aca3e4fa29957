// SPDX-License-Identifier: GPL-2.0
/*
 * What no Rust binding reaches: macros, static inline functions, and one exported function whose
 * header the bindings do not include. One line of work each; every decision is made in Rust.
 * Declared in ext/ffi.rs.
 */

#include <linux/anon_inodes.h>
#include <linux/cpumask.h>
#include <linux/dma-map-ops.h>
#include <linux/dmaengine.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_table_check.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
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

#ifdef FAULTLINE_MUTANT
/* From here on the kernel takes the area for a private one. */
void faultline_vma_set_private(struct vm_area_struct *vma)
{
	vm_flags_clear(vma, VM_SHARED | VM_MAYSHARE);
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
}

void faultline_vma_set_noncached(struct vm_area_struct *vma)
{
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
}
#endif

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

/*
 * vmf_insert_mixed() for @pages frames in one walk of the page table, which leaves nothing to fault
 * for a second time. @addr and what follows must lie in the area, and in one page table.
 */
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

/*
 * VM_FAULT_FALLBACK, unless a block of @order pages is one entry of a page middle directory and such
 * entries can be special. A page table that has come in between stays.
 */
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

struct dma_chan *faultline_dma_request(struct device *dev, const char *name)
{
	return dma_request_chan(dev, name);
}

void faultline_dma_release(struct dma_chan *chan)
{
	dma_release_channel(chan);
}

/* The device that a channel's addresses are for. */
struct device *faultline_dma_device(struct dma_chan *chan)
{
	return dmaengine_get_dma_device(chan);
}

bool faultline_dma_can_copy(struct dma_chan *chan)
{
	return dma_has_cap(DMA_MEMCPY, chan->device->cap_mask) &&
	       chan->device->device_prep_dma_memcpy;
}

size_t faultline_dma_copy_alignment(struct dma_chan *chan)
{
	return 1UL << chan->device->copy_align;
}

/* Starts to copy; the cookie is the copy's, or an error number. */
dma_cookie_t faultline_dma_start_copy(struct dma_chan *chan, dma_addr_t destination,
				      dma_addr_t source, size_t length)
{
	struct dma_async_tx_descriptor *tx;
	dma_cookie_t cookie;

	tx = dmaengine_prep_dma_memcpy(chan, destination, source, length,
				       DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!tx)
		return -ENOMEM;
	cookie = dmaengine_submit(tx);
	if (!dma_submit_error(cookie))
		dma_async_issue_pending(chan);
	return cookie;
}

enum dma_status faultline_dma_status(struct dma_chan *chan, dma_cookie_t cookie)
{
	return dma_async_is_tx_complete(chan, cookie, NULL, NULL);
}

int faultline_dma_stop(struct dma_chan *chan)
{
	return dmaengine_terminate_sync(chan);
}

bool faultline_may_write(const struct file *file)
{
	return file->f_mode & FMODE_WRITE;
}

bool faultline_cpu_is_online(unsigned int cpu)
{
	return cpu_online(cpu);
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

/*
 * What the CPU's own walk of the page table answers for a load and for a store, as PAR_EL1 has it,
 * and how many bytes the entry maps, or 0 if that is not known. ext/translate.rs knows the bits.
 */
struct faultline_walk {
	u64 load;
	u64 store;
	u64 entry_size;
};

#if defined(CONFIG_ARM64)

#define faultline_at(stage, addr) ({					\
	asm volatile("at " stage ", %0" : : "r" (addr));		\
	isb();								\
	read_sysreg_par();						\
})

static void faultline_walk_user(unsigned long addr, struct faultline_walk *walk)
{
	/* Where the CPU has no PAN, the kernel runs with the user's table taken out. */
	bool enabled = uaccess_ttbr0_enable();

	walk->load = faultline_at("s1e0r", addr);
	walk->store = faultline_at("s1e0w", addr);
	if (enabled)
		uaccess_ttbr0_disable();
}

static void faultline_walk_kernel(unsigned long addr, struct faultline_walk *walk)
{
	walk->load = faultline_at("s1e1r", addr);
	walk->store = faultline_at("s1e1w", addr);
}

#elif defined(CONFIG_ARM_LPAE)

/* ATS1CPR, ATS1CPW, ATS1CUR, ATS1CUW by their last operand; PAR of 64 bits. */
#define faultline_at(op2, addr) ({					\
	u64 par;							\
									\
	asm volatile("mcr p15, 0, %0, c7, c8, " #op2 : : "r" (addr));	\
	isb();								\
	asm volatile("mrrc p15, 0, %Q0, %R0, c7" : "=r" (par));		\
	par;								\
})

static void faultline_walk_user(unsigned long addr, struct faultline_walk *walk)
{
	/* With CONFIG_CPU_TTBR0_PAN the kernel runs with walks of the user's table disabled. */
	unsigned int flags = uaccess_save_and_enable();

	walk->load = faultline_at(2, addr);
	walk->store = faultline_at(3, addr);
	uaccess_restore(flags);
}

static void faultline_walk_kernel(unsigned long addr, struct faultline_walk *walk)
{
	walk->load = faultline_at(0, addr);
	walk->store = faultline_at(1, addr);
}

#else
#define FAULTLINE_NO_WALK
#endif

#ifndef FAULTLINE_NO_WALK
/*
 * The way that perf_get_pgtable_size() goes. Called with interrupts disabled, which keeps page
 * tables from being freed: that is what HAVE_GUP_FAST promises.
 */
static u64 faultline_entry_size(struct mm_struct *mm, unsigned long addr)
{
#if defined(CONFIG_HAVE_GUP_FAST) && !defined(CONFIG_HIGHPTE)
	pgd_t *pgdp, pgd;
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;
	pte_t pte;

	pgdp = pgd_offset(mm, addr);
	pgd = pgdp_get(pgdp);
	if (pgd_none(pgd))
		return 0;

	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = p4dp_get(p4dp);
	if (!p4d_present(p4d))
		return 0;

	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = pudp_get(pudp);
	if (!pud_present(pud))
		return 0;
	if (pud_leaf(pud))
		return pud_leaf_size(pud);

	pmdp = pmd_offset_lockless(pudp, pud, addr);
	pmd = pmdp_get_lockless(pmdp);
	if (!pmd_present(pmd))
		return 0;
	if (pmd_leaf(pmd))
		return pmd_leaf_size(pmd);

	/* The table is the one that was read: pte_offset_map(), which looks again, is not exported. */
	pte = ptep_get_lockless(pte_offset_kernel(&pmd, addr));
	if (pte_present(pte))
		return __pte_leaf_size(pmd, pte);
#endif
	return 0;
}
#endif

/* The address is the caller's, and may be anything. */
int faultline_translate_user(unsigned long addr, struct faultline_walk *walk)
{
#ifdef FAULTLINE_NO_WALK
	return -EOPNOTSUPP;
#else
	unsigned long flags;

	addr = untagged_addr(addr);
	if (!current->mm || addr >= TASK_SIZE)
		return -EFAULT;

	/* From here on the task stays on this CPU, and the CPU on the task's table. */
	local_irq_save(flags);
	faultline_walk_user(addr, walk);
	walk->entry_size = faultline_entry_size(current->mm, addr);
	local_irq_restore(flags);
	return 0;
#endif
}

/* The kernel's table has no owner that modules could name: the entry's size stays unknown. */
int faultline_translate_kernel(const void *addr, struct faultline_walk *walk)
{
#ifdef FAULTLINE_NO_WALK
	return -EOPNOTSUPP;
#else
	unsigned long flags;

	local_irq_save(flags);
	faultline_walk_kernel((unsigned long)addr, walk);
	walk->entry_size = 0;
	local_irq_restore(flags);
	return 0;
#endif
}
