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
#else
#include <linux/mm_types.h>
#include <linux/types.h>
#endif

struct device;
struct inode;
struct vm_area_struct;
struct vm_fault;

/* dev_is_dma_coherent(), include/linux/dma-map-ops.h. */
bool faultline_dev_is_dma_coherent(struct device *dev);

/* Applies pgprot_dmacoherent(), an architecture's macro, to the page protection of a VMA. */
void faultline_vma_set_dmacoherent(struct vm_area_struct *vma);

/*
 * vmf_insert_mixed() for @pages PFNs in one walk of the page table, which leaves nothing to fault
 * for a second time. @addr and what follows must lie in the VMA, and in one page table.
 */
vm_fault_t faultline_insert_pages(struct vm_fault *vmf, unsigned long addr, unsigned long pfn,
				  unsigned long pages);

/*
 * VM_FAULT_FALLBACK, unless @order pages are one entry of a page middle directory and such entries
 * can be special. A page table that has come in between stays.
 */
vm_fault_t faultline_insert_block(struct vm_fault *vmf, unsigned long pfn, unsigned int order);

/* The PFN behind a mapped kernel address, in the linear map or in the vmalloc range. */
unsigned long faultline_vaddr_to_pfn(const void *vaddr);

/* totalram_pages(), include/linux/mm.h. */
unsigned long faultline_totalram_pages(void);

/* pagefault_disable() and pagefault_enable(), include/linux/uaccess.h. */
void faultline_pagefault_disable(void);
void faultline_pagefault_enable(void);

/*
 * An inode that nothing else uses, for the sake of its address_space; or an error pointer. The kernel
 * hands one out only together with a file, which is given back at once. That takes effect later, when
 * the task returns to user space, so that the operations have to pin the module until then.
 */
struct inode *faultline_anon_inode(const char *name);

#endif
