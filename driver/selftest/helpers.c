// SPDX-License-Identifier: GPL-2.0
/*
 * What the self-test needs and no Rust binding reaches: macros and static inline functions. One line
 * of work each, except the walk of the page table; every decision is made in Rust.
 */

#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/dmaengine.h>
#include <linux/highmem.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#ifdef CONFIG_ARM
#include <asm/cp15.h>
#endif

#include "helpers.h"

struct dma_chan *faultline_dma_request(struct device *dev, const char *name)
{
	return dma_request_chan(dev, name);
}

bool faultline_dma_link(struct device *dev, struct dma_chan *chan)
{
	return device_link_add(dev, chan->device->dev, DL_FLAG_AUTOREMOVE_CONSUMER);
}

void faultline_dma_release(struct dma_chan *chan)
{
	dma_release_channel(chan);
}

struct device *faultline_dma_device(struct dma_chan *chan)
{
	struct device *dev = dmaengine_get_dma_device(chan);

	return dev == chan->device->dev ? dev : NULL;
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

int faultline_dma_start_copy(struct dma_chan *chan, dma_addr_t destination, dma_addr_t source,
			     size_t length)
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

int faultline_dma_status(struct dma_chan *chan, int cookie)
{
	switch (dma_async_is_tx_complete(chan, cookie, NULL, NULL)) {
	case DMA_COMPLETE:
		return 0;
	case DMA_IN_PROGRESS:
		return -EINPROGRESS;
	default:
		return -EIO;
	}
}

int faultline_dma_stop(struct dma_chan *chan)
{
	return dmaengine_terminate_sync(chan);
}

bool faultline_cpu_is_online(unsigned int cpu)
{
	return cpu_online(cpu);
}

bool faultline_cpu_is_allowed(unsigned int cpu)
{
	return cpumask_test_cpu(cpu, current->cpus_ptr);
}

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

#elif defined(CONFIG_ARM) && __LINUX_ARM_ARCH__ >= 7

/* PAR has 64 bits where the page table's entries have; elsewhere the upper half is zero here. */
#ifdef CONFIG_ARM_LPAE
#define faultline_par(par) asm volatile("mrrc p15, 0, %Q0, %R0, c7" : "=r" (par))
#else
#define FAULTLINE_SHORT_DESCRIPTORS
#define faultline_par(par) asm volatile("mrc p15, 0, %Q0, c7, c4, 0" : "+r" (par))
#endif

/* ATS1CPR, ATS1CPW, ATS1CUR, ATS1CUW by their last operand. */
#define faultline_at(op2, addr) ({					\
	u64 par = 0;							\
									\
	asm volatile("mcr p15, 0, %0, c7, c8, " #op2 : : "r" (addr));	\
	isb();								\
	faultline_par(par);						\
	par;								\
})

static void faultline_walk_user(unsigned long addr, struct faultline_walk *walk)
{
	/*
	 * The kernel runs with walks of the user's table disabled (CONFIG_CPU_TTBR0_PAN), or without
	 * access to what they find (CONFIG_CPU_SW_DOMAIN_PAN).
	 */
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

#ifdef FAULTLINE_SHORT_DESCRIPTORS
/*
 * The descriptors that the CPU finds by its walk: those of the hardware, not Linux's own. Nobody may free
 * the page tables meanwhile.
 */
static void faultline_read_entry(struct mm_struct *mm, unsigned long addr,
				 struct faultline_walk *walk)
{
	const pmdval_t *first = (const pmdval_t *)mm->pgd + (addr >> SECTION_SHIFT);
	phys_addr_t table;
	const u32 *page;

	walk->first = READ_ONCE(*first);
	walk->second = 0;
	if ((walk->first & PMD_TYPE_MASK) == PMD_TYPE_TABLE) {
		/* A table has 256 descriptors, and is a part of a page, which may be in highmem. */
		table = (walk->first & ~0x3ff) + (addr >> PAGE_SHIFT & 0xff) * sizeof(u32);
		page = kmap_local_page(phys_to_page(table));
		walk->second = READ_ONCE(page[offset_in_page(table) / sizeof(u32)]);
		kunmap_local(page);
	}

	asm("mrc p15, 0, %0, c10, c2, 0" : "=r" (walk->prrr));
	asm("mrc p15, 0, %0, c10, c2, 1" : "=r" (walk->nmrr));
}

/* Whether the CPU goes by PRRR and NMRR at all. */
static bool faultline_can_walk(void)
{
	return get_cr() & CR_TRE;
}

/*
 * No other lock keeps a page table from being freed while it is read here: without HAVE_GUP_FAST disabled
 * interrupts do not, and munmap() frees tables when it holds the lock for reading. With the lock held for
 * writing nobody frees one: there is no PT reclaim where tables are freed without RCU.
 */
static int faultline_lock_tables(struct mm_struct *mm)
{
	BUILD_BUG_ON(IS_ENABLED(CONFIG_PT_RECLAIM));
	return mmap_write_lock_killable(mm);
}

static void faultline_unlock_tables(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

#elif !defined(FAULTLINE_NO_WALK)
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

static void faultline_read_entry(struct mm_struct *mm, unsigned long addr,
				 struct faultline_walk *walk)
{
	walk->entry_size = faultline_entry_size(mm, addr);
}

static bool faultline_can_walk(void)
{
	return true;
}

static int faultline_lock_tables(struct mm_struct *mm)
{
	return 0; /* What runs with interrupts disabled needs no lock. */
}

static void faultline_unlock_tables(struct mm_struct *mm)
{
}
#endif

int faultline_translate_user(unsigned long addr, struct faultline_walk *walk)
{
#ifdef FAULTLINE_NO_WALK
	return -EOPNOTSUPP;
#else
	struct mm_struct *mm = current->mm;
	unsigned long flags;
	int err;

	if (!faultline_can_walk())
		return -EOPNOTSUPP;
	addr = untagged_addr(addr);
	if (!mm || addr >= TASK_SIZE)
		return -EFAULT;
	err = faultline_lock_tables(mm);
	if (err)
		return err;

	/* From here on the task stays on this CPU, and the CPU on the task's table. */
	local_irq_save(flags);
	faultline_walk_user(addr, walk);
	faultline_read_entry(mm, addr, walk);
	local_irq_restore(flags);

	faultline_unlock_tables(mm);
	return 0;
#endif
}

/*
 * Modules cannot name the owner of the kernel's table, so that elsewhere nothing is read there. Without LPAE
 * the CPU goes by the task's own table for kernel addresses as well. That gets entries of the vmalloc range
 * when they are first used, and loses none.
 */
int faultline_translate_kernel(const void *addr, struct faultline_walk *walk)
{
#ifdef FAULTLINE_NO_WALK
	return -EOPNOTSUPP;
#else
	unsigned long flags;
#ifdef FAULTLINE_SHORT_DESCRIPTORS
	struct mm_struct *mm = current->mm;
	char unused;

	if (!faultline_can_walk())
		return -EOPNOTSUPP;
	if (!mm || copy_from_kernel_nofault(&unused, addr, sizeof(unused)))
		return -EFAULT;
#endif

	local_irq_save(flags);
	faultline_walk_kernel((unsigned long)addr, walk);
#ifdef FAULTLINE_SHORT_DESCRIPTORS
	faultline_read_entry(mm, (unsigned long)addr, walk);
#endif
	local_irq_restore(flags);
	return 0;
#endif
}
