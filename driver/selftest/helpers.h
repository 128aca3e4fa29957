/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of the self-test's helpers.c, as ../helpers.h has those of the driver.
 */

#ifndef FAULTLINE_SELFTEST_HELPERS_H
#define FAULTLINE_SELFTEST_HELPERS_H

#ifdef __BINDGEN__
/* Only names, as in ../helpers.h. */
typedef _Bool bool;
typedef unsigned long size_t;
typedef unsigned long long dma_addr_t;
#else
#include <linux/types.h>
#endif

struct device;
struct dma_chan;

/* dma_request_chan(), drivers/dma/dmaengine.c; -ENODEV without CONFIG_DMA_ENGINE. */
struct dma_chan *faultline_dma_request(struct device *dev, const char *name);

/* Has @dev, which is being probed, unbound before the driver of the channel's engine ever is. */
bool faultline_dma_link(struct device *dev, struct dma_chan *chan);

/* dma_release_channel(), drivers/dma/dmaengine.c. */
void faultline_dma_release(struct dma_chan *chan);

/*
 * The device of the engine, whose driver is bound, if it is the one that a channel's addresses are for;
 * NULL if that is one of the channel's own (chan_dma_dev), which has no driver.
 */
struct device *faultline_dma_device(struct dma_chan *chan);

/* Whether the engine copies from memory to memory. */
bool faultline_dma_can_copy(struct dma_chan *chan);

/* What addresses and lengths of copies must be multiples of. */
size_t faultline_dma_copy_alignment(struct dma_chan *chan);

/* Starts to copy; returns what to ask for the copy's state by, or an error number. */
int faultline_dma_start_copy(struct dma_chan *chan, dma_addr_t destination, dma_addr_t source,
			     size_t length);

/* The state of a copy: 0 when it is done, -EINPROGRESS, or -EIO. */
int faultline_dma_status(struct dma_chan *chan, int cookie);

/* dmaengine_terminate_sync(), include/linux/dmaengine.h. */
int faultline_dma_stop(struct dma_chan *chan);

/* cpu_online(), include/linux/cpumask.h, for the number of a CPU. */
bool faultline_cpu_is_online(unsigned int cpu);

/* Whether the calling task itself may run on a CPU: what its cpuset and its affinity say. */
bool faultline_cpu_is_allowed(unsigned int cpu);

/*
 * What the CPU's own walk of the page table answers for a load and for a store, as PAR_EL1 has it,
 * and how many bytes the entry maps, or 0 if that is not known. ext/translate.rs knows the bits.
 *
 * 32-bit ARM without LPAE: the answers are PAR of 32 bits, and the entry is given as it is, by the
 * descriptors of both levels (the second is 0 if there is none) and what their memory attributes refer to.
 */
struct faultline_walk {
	unsigned long long load;
	unsigned long long store;
	unsigned long long entry_size;
	unsigned int first;
	unsigned int second;
	unsigned int prrr;
	unsigned int nmrr;
};

/*
 * Has the CPU translate an address of the calling task, with user space's rights. The address may be
 * anything: -EFAULT if it is not one of user space, -EOPNOTSUPP if the CPU cannot, -EINTR for a deadly
 * signal. Sleeps on 32-bit ARM without LPAE.
 */
int faultline_translate_user(unsigned long addr, struct faultline_walk *walk);

/*
 * Has the CPU translate a kernel address; -EOPNOTSUPP if it cannot. On 32-bit ARM without LPAE the byte is
 * read, and what maps it must stay: -EFAULT if there is none.
 */
int faultline_translate_kernel(const void *addr, struct faultline_walk *walk);

#include "import.h"

#endif
