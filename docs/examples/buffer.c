// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program does with a buffer: open it by its name, ask what it is, map it, and use it together with
 * a device. Compile it with -I userspace/include; the only argument is the device.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faultline.h"

static int fail(const char *call)
{
	fprintf(stderr, "%s: %s\n", call, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/dev/faultline/by-name/dma-buffer-0";
	struct faultline_info info;
	volatile uint32_t *words;
	uint32_t word;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(path);
	if (ioctl(fd, FAULTLINE_IOC_INFO, &info))
		return fail("FAULTLINE_IOC_INFO");
	printf("%s: %llu bytes, %s\n", path, (unsigned long long)info.size,
	       info.flags & FAULTLINE_FLAG_COHERENT ? "coherent" : "not coherent");
	/* This is what the device is told. It is not a pointer, and not a physical address. */
	printf("the device finds it at %#llx\n", (unsigned long long)info.dma_address);

	/* MAP_PRIVATE would be EINVAL: a copy is not the memory that the device has. */
	words = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return fail("mmap()");

	/* Only for programs that must not be interrupted by page faults later. */
	struct faultline_prefault all = { (uintptr_t)words, info.size };
	if (ioctl(fd, FAULTLINE_IOC_PREFAULT, &all))
		return fail("FAULTLINE_IOC_PREFAULT");

	/*
	 * Write a request for the device. Order it before the store to the register that starts the
	 * device: a barrier that holds for devices, not for CPUs alone, is dma_wmb() in the kernel and
	 * "dmb oshst" here.
	 */
	words[0] = 0x600df00d;
#if defined(__aarch64__) || defined(__ARM_ARCH_7A__)
	__asm__ volatile("dmb oshst" ::: "memory");
#else
	__sync_synchronize();
#endif

	/* read() and write() access the same memory. */
	if (pread(fd, &word, sizeof(word), 0) != sizeof(word))
		return fail("pread()");
	printf("word 0 is %#x\n", word);

	munmap((void *)words, info.size);
	close(fd);
	return word == 0x600df00d ? 0 : 1;
}
