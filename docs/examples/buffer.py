#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a program does with a buffer: open it by its name, ask what it is, map it and use it."""

import fcntl
import mmap
import os
import struct
import sys

# userspace/include/faultline.h has the numbers, and the structures in C.
FAULTLINE_IOC_INFO = 0x80187C80
FAULTLINE_FLAG_COHERENT = 1 << 0
INFO = struct.Struct("=IIQQ")  # flags, reserved, size, dma_address


def main(path: str) -> int:
    fd = os.open(path, os.O_RDWR)
    answer = fcntl.ioctl(fd, FAULTLINE_IOC_INFO, bytes(INFO.size))
    flags, _, size, dma_address = INFO.unpack(answer)
    coherent = "coherent" if flags & FAULTLINE_FLAG_COHERENT else "not coherent"
    print(f"{path}: {size} bytes, {coherent}")
    # This is what the device is told. It is not a physical address.
    print(f"the device finds it at {dma_address:#x}")

    # MAP_SHARED is the default. Python does not promise how wide its stores are: what a device reads as
    # one word, a program in C or Rust has to write.
    with mmap.mmap(fd, size) as buffer:
        struct.pack_into("=I", buffer, 0, 0x600DF00D)
        buffer.flush()  # msync(): allowed, and nothing to do
    word = int.from_bytes(os.pread(fd, 4, 0), sys.byteorder)
    print(f"word 0 is {word:#x}")
    os.close(fd)
    return 0 if word == 0x600DF00D else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "/dev/faultline/by-name/dma-buffer-0"))
