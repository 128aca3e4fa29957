/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of helpers.c. The build makes Rust's declarations of them from this file, too
 * (Kbuild, ext/ffi.rs): neither side can drift.
 */

#ifndef FAULTLINE_HELPERS_H
#define FAULTLINE_HELPERS_H

#ifdef __BINDGEN__
/* Only names: Rust takes what they stand for from the kernel's bindings. */
typedef _Bool bool;
typedef unsigned int vm_fault_t;
typedef unsigned long long u64;
#else
#include <linux/mm_types.h>
#include <linux/types.h>
#endif

struct device;
struct inode;
struct kiocb;
struct srcu_struct;
struct vm_area_desc;
struct vm_fault;

/* dev_is_dma_coherent(), include/linux/dma-map-ops.h. */
bool faultline_dev_is_dma_coherent(struct device *dev);

/*
 * Whether the kernel encrypts memory, as in a confidential guest, where memory that devices see has a
 * second, unencrypted alias.
 */
bool faultline_memory_is_encrypted(void);

/* VM_MAYSHARE of a VMA that is being made. */
bool faultline_desc_is_shared(const struct vm_area_desc *desc);

/* Clears VM_MAYEXEC; false if VM_EXEC is set. */
bool faultline_desc_forbid_exec(struct vm_area_desc *desc);

/*
 * Sets the flags that a VMA of the driver has, VM_HUGEPAGE if PMDs may be mapped, and the memory type:
 * pgprot_dmacoherent(), an architecture's macro, or that of the kernel's ordinary memory.
 */
void faultline_desc_set_up(struct vm_area_desc *desc, bool uncached, bool huge);

/* PTRS_PER_PTE: pages that are this close to each other, by multiples of it, share a page table. */
extern const unsigned long faultline_ptes_per_table;

/*
 * Maps @pages PFNs from @pfn on at @addr, with entries that are dirty if the VMA is writable. What is
 * mapped there already stays. @addr and what follows must lie in the VMA, and in the page table that
 * has the entry of the page that was touched. Does not sleep.
 *
 * VM_FAULT_FALLBACK if there is no page table: faultline_insert_table() brings one. VM_FAULT_SIGBUS if
 * the VMA is private and entries cannot be special: the kernel would count the pages. Else
 * VM_FAULT_NOPAGE, which has the access tried again, whether something was mapped, was there already,
 * or the page table has gone in the meantime.
 */
vm_fault_t faultline_insert_pages(struct vm_fault *vmf, unsigned long addr, unsigned long pfn,
				  unsigned long pages);

/*
 * After VM_FAULT_FALLBACK: the same with a page table that comes along, the one that the kernel has
 * allocated for the fault.
 * VM_FAULT_NOPAGE, also where another was faster or the kernel has allocated none. Does not sleep.
 */
vm_fault_t faultline_insert_table(struct vm_fault *vmf, unsigned long addr, unsigned long pfn,
				  unsigned long pages);

/*
 * Maps 1 << @order PFNs from @pfn on by one PMD. VM_FAULT_FALLBACK if a PMD has not this order, cannot
 * be special, or is not empty: a page table that has come in between stays. Does not sleep.
 */
vm_fault_t faultline_insert_pmd(struct vm_fault *vmf, unsigned long pfn, unsigned int order);

/* The PFN behind a mapped kernel address, in the linear map or in the vmalloc range. */
unsigned long faultline_vaddr_to_pfn(const void *vaddr);

/* totalram_pages(), include/linux/mm.h. */
unsigned long faultline_totalram_pages(void);

/* pagefault_disable() and pagefault_enable(), include/linux/uaccess.h. */
void faultline_pagefault_disable(void);
void faultline_pagefault_enable(void);

/*
 * Copies up to @size bytes to or from user memory, of which access_ok() is true, and returns how many.
 * Does not sleep: it stops where memory is not present.
 */
unsigned long faultline_copy_to_user(void *to, const void *from, unsigned long size);
unsigned long faultline_copy_from_user(void *to, const void *from, unsigned long size);

/* init_srcu_struct_fast(), srcu_read_lock_fast() and srcu_read_unlock_fast(), include/linux/srcu.h. */
int faultline_srcu_init(struct srcu_struct *srcu);
void *faultline_srcu_read_lock(struct srcu_struct *srcu);
void faultline_srcu_read_unlock(struct srcu_struct *srcu, void *cookie);

/* An inode of the module's own, for the sake of its address_space; or an error pointer. */
struct inode *faultline_inode_new(void);

/* Gives it back. */
void faultline_inode_free(struct inode *inode);

/* IOCB_APPEND: the file was opened with O_APPEND, or the call asks for the like. */
bool faultline_is_append(const struct kiocb *kiocb);

/* How many pages the kernel has set aside for CMA, in all regions, and how many of them are free. */
unsigned long faultline_cma_pages(void);
unsigned long faultline_free_cma_pages(void);

#include "cached.h"
#include "device_tree.h"
#include "dma_buf.h"
#include "dma_direct.h"
#include "reserved_memory.h"

#endif
