/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The interface of /dev/faultlineN: see docs/uapi.md. Generated from driver/uapi.rs by `make header`; do
 * not edit it.
 */

#ifndef FAULTLINE_H
#define FAULTLINE_H

#include <stdint.h>

/**
 * `_IOR('|', 0x80, Info)`: describes the buffer behind an open file.
 *
 * # Errors
 *
 * - `ENODEV`: the device was unbound after the file had been opened.
 * - `EFAULT`: the argument does not point at writable memory.
 */
#define FAULTLINE_IOC_INFO 0x80187c80U

/**
 * [`Info::flags`]: the device is coherent with the CPU's caches (the device tree's
 * `dma-coherent`), so that the buffer is ordinary cacheable memory on every side. Without it the
 * buffer is mapped uncached, for the kernel and for user space alike: the device is not coherent, or the
 * buffer is in a `no-map` region of reserved memory, which the kernel maps so for every device.
 */
#define FAULTLINE_FLAG_COHERENT (1 << 0)

/**
 * [`Info::flags`]: since the device was bound nobody has mapped the buffer, written to it or had
 * it written to, so that it must still be all zeroes.
 */
#define FAULTLINE_FLAG_PRISTINE (1 << 1)

/**
 * `_IOW('|', 0x88, Prefault)`: maps all pages of a range of addresses now, so that later accesses do
 * not fault. Stores do not, either, where the mapping is writable.
 *
 * What is mapped stays, also if the call fails later in the range: the kernel does not reclaim pages of
 * a buffer. A page goes only if the process takes it away, by `munmap()`, `mremap()`,
 * `madvise(MADV_DONTNEED)` or `mprotect()`, or when the device is unbound. A child of `fork()` has to
 * ask for itself.
 *
 * # Errors
 *
 * - `EINVAL`: the range is empty, wraps around, or does not begin and end where pages do.
 * - `EFAULT`: some of the range is not a mapping of this buffer, or is mapped `PROT_NONE`; or the
 *   argument does not point at readable memory.
 * - `ENODEV`: the device was unbound.
 * - `ENOMEM`: there is no memory for page tables.
 * - `EINTR`: a signal came. Call again.
 */
#define FAULTLINE_IOC_PREFAULT 0x40107c88U

/**
 * [`Info::flags`]: the buffer is cached for the CPUs, whatever the device sees: accesses of the CPUs
 * have to be bracketed by [`FAULTLINE_IOC_SYNC`]. [`FLAG_COHERENT`] is not set.
 */
#define FAULTLINE_FLAG_CACHED (1 << 2)

/**
 * `_IOW('|', 0x90, Sync)`: begins or ends an access of the CPUs to a part of a cached buffer
 * ([`FLAG_CACHED`]), as `DMA_BUF_IOCTL_SYNC` does, whose flags have the same values.
 *
 * Between a start with [`SYNC_READ`] and its end the CPUs find what the device has written before, and
 * the device must not write. After the end of an access with [`SYNC_WRITE`] the device finds what the
 * CPUs have written. Start and end have the same file, range and access. They apply to mappings,
 * `read()` and `write()` alike. Where the device sees the caches of the CPUs, nothing has to be done.
 *
 * # Errors
 *
 * - `EOPNOTSUPP`: the buffer is not cached. There is nothing to synchronise.
 * - `EINVAL`: the range is empty or reaches past the end; neither [`SYNC_READ`] nor [`SYNC_WRITE`]; an
 *   unknown flag; a reserved field that is not zero.
 * - `ENOENT`: an end that has no start.
 * - `ENOSPC`: the file has started 64 accesses that it has not ended.
 * - `EBADF`: [`SYNC_WRITE`], and the file is not open for writing.
 * - `ENODEV`: the device was unbound after the file had been opened.
 * - `EFAULT`: the argument does not point at readable memory.
 */
#define FAULTLINE_IOC_SYNC 0x40187c90U

/**
 * [`Sync::flags`]: the CPUs read.
 */
#define FAULTLINE_SYNC_READ (1 << 0)

/**
 * [`Sync::flags`]: the CPUs write.
 */
#define FAULTLINE_SYNC_WRITE (1 << 1)

/**
 * [`Sync::flags`]: the access ends; without it, it starts.
 */
#define FAULTLINE_SYNC_END (1 << 2)

/**
 * `_IOW('|', 0x9c, Export)`: returns a new file descriptor of a dma-buf, which stands for all of the
 * buffer: other devices import it, and it can be mapped as the device's own file.
 *
 * The file descriptor is open for reading and writing, and closed on exec. It outlives the file. After the
 * device was unbound, mappings of it answer `SIGBUS` and calls `ENODEV`.
 *
 * # Errors
 *
 * - `EINVAL`: a flag.
 * - `EBADF`: the file is not open for reading and writing.
 * - `EOPNOTSUPP`: the buffer is in a `no-map` region of reserved memory, which other devices' drivers
 *   cannot be given; or the kernel has no dma-bufs.
 * - `ENODEV`: the device was unbound after the file had been opened.
 * - `EMFILE`, `ENFILE`, `ENOMEM`: no file can be opened any more.
 * - `EFAULT`: the argument does not point at readable memory.
 */
#define FAULTLINE_IOC_EXPORT 0x40087c9cU

/**
 * The argument of [`FAULTLINE_IOC_EXPORT`].
 */
struct faultline_export {
        /**
         * Zero: no flag has a meaning yet.
         */
        uint64_t flags;
};

/**
 * The answer to [`FAULTLINE_IOC_INFO`].
 */
struct faultline_info {
        /**
         * [`FLAG_COHERENT`], [`FLAG_PRISTINE`] and [`FLAG_CACHED`].
         */
        uint32_t flags;
        /**
         * Zero.
         */
        uint32_t reserved;
        /**
         * The length of the buffer in bytes: a multiple of the page size.
         */
        uint64_t size;
        /**
         * The buffer's address as the *device* sees it, to be programmed into a bus master. It is
         * not a physical address: an IOMMU or `dma-ranges` may lie between. Where neither does it is
         * one in effect, and who may open the device learns it: that is what the device is for.
         */
        uint64_t dma_address;
};

/**
 * The argument of [`FAULTLINE_IOC_PREFAULT`]: whole pages.
 */
struct faultline_prefault {
        /**
         * The first address, in one or more mappings of the buffer that follow each other.
         */
        uint64_t address;
        /**
         * How many bytes.
         */
        uint64_t length;
};

/**
 * The argument of [`FAULTLINE_IOC_SYNC`].
 */
struct faultline_sync {
        /**
         * [`SYNC_READ`], [`SYNC_WRITE`] or both; and [`SYNC_END`].
         */
        uint32_t flags;
        /**
         * Zero.
         */
        uint32_t reserved;
        /**
         * Where the part of the buffer begins, in bytes.
         */
        uint64_t offset;
        /**
         * How long it is, in bytes.
         */
        uint64_t length;
};

#endif  /* FAULTLINE_H */
