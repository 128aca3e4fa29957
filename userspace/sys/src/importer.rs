// SPDX-License-Identifier: GPL-2.0-only

//! A device of the kernel's own that imports dma-bufs: V4L2's test driver `vivid`, which is a camera
//! without hardware (include/uapi/linux/videodev2.h).
//!
//! As a driver of a real camera does, it attaches a dma-buf to its device and maps it when the first picture
//! is to go there, and holds on to it until it is told to let go. With `vivid.allocators=1` on the kernel's
//! command line it maps the dma-buf for its device and has the address in the kernel's mapping, too; without,
//! it has the address alone.

use core::mem::offset_of;
use core::ptr;

use faultline_core::errno::Errno;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::OFlags;

use crate::call;
use crate::file::{open, poll};

/// The bytes of a picture: the smallest that the device has, of one byte a pixel.
pub const PICTURE: u64 = (WIDTH * HEIGHT) as u64;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;

/// `V4L2_PIX_FMT_GREY`.
const GREY: u32 = u32::from_le_bytes(*b"GREY");
/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`.
const CAPTURE: u32 = 1;
/// `V4L2_FIELD_NONE`.
const PROGRESSIVE: u32 = 1;
/// `V4L2_MEMORY_DMABUF`.
const DMA_BUF: u32 = 4;

/// `struct v4l2_format`, with `struct v4l2_pix_format`, which begins where the longest union does.
#[repr(C)]
#[derive(Default)]
struct Format {
    kind: u32,
    #[cfg(target_pointer_width = "64")]
    padding: u32,
    width: u32,
    height: u32,
    pixel_format: u32,
    field: u32,
    line: u32,
    size: u32,
    others: [[u32; 22]; 2],
}

/// `struct v4l2_requestbuffers`.
#[repr(C)]
#[derive(Default)]
struct Request {
    count: u32,
    kind: u32,
    memory: u32,
    capabilities: u32,
    flags: u32,
}

/// `struct v4l2_buffer`.
#[repr(C)]
#[derive(Default)]
struct Buffer {
    index: u32,
    kind: u32,
    used: u32,
    flags: u32,
    field: u32,
    padding: u32,
    time: [u64; 2],
    time_code: [u32; 4],
    sequence: u32,
    memory: u32,
    /// A file descriptor, in a union with a pointer.
    file: usize,
    length: u32,
    reserved: u32,
    request: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(
    size_of::<Format>() == 208
        && size_of::<Buffer>() == 88
        && offset_of!(Buffer, file) == 64
        && offset_of!(Format, width) == 8
);
const _: () = assert!(size_of::<Request>() == 20 && offset_of!(Request, memory) == 8);

/// A camera.
pub struct Importer(OwnedFd);

impl Importer {
    /// Opens the camera.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none.
    pub fn open() -> Result<Self, Errno> {
        let this = Self(open(c"/dev/video0", OFlags::RDWR | OFlags::NONBLOCK)?);
        let mut format = Format {
            kind: CAPTURE,
            width: WIDTH,
            height: HEIGHT,
            pixel_format: GREY,
            field: PROGRESSIVE,
            ..Format::default()
        };
        this.call(READ_WRITE, 5, &mut format)?;
        if u64::from(format.size) != PICTURE {
            return Err(Errno::INVAL);
        }
        this.request(2)?;
        Ok(this)
    }

    /// Asks for a picture in a dma-buf, which the device attaches and maps.
    pub fn ask(&self, buffer: impl AsFd) -> Result<(), Errno> {
        let mut argument = Buffer {
            kind: CAPTURE,
            memory: DMA_BUF,
            file: buffer.as_fd().as_raw_fd() as usize,
            ..Buffer::default()
        };
        self.call(READ_WRITE, 15, &mut argument)
    }

    /// Starts to take pictures.
    pub fn start(&self) -> Result<(), Errno> {
        self.call(WRITE, 18, &mut { CAPTURE })
    }

    /// Waits for a picture, for so many milliseconds.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: there was none in this time.
    pub fn picture(&self, milliseconds: i64) -> Result<(), Errno> {
        const READABLE: u16 = 1;

        poll(&self.0, READABLE, milliseconds)?;
        let mut argument = Buffer {
            kind: CAPTURE,
            memory: DMA_BUF,
            ..Buffer::default()
        };
        self.call(READ_WRITE, 17, &mut argument)
    }

    /// Takes no pictures any more, and lets go of the dma-buf.
    pub fn let_go(&self) -> Result<(), Errno> {
        self.call(WRITE, 19, &mut { CAPTURE })?;
        self.request(0)
    }

    fn request(&self, count: u32) -> Result<(), Errno> {
        let mut request = Request {
            count,
            kind: CAPTURE,
            memory: DMA_BUF,
            ..Request::default()
        };
        self.call(READ_WRITE, 8, &mut request)
    }

    /// An ioctl of V4L2 that has a `T` as its argument.
    fn call<T>(&self, direction: u32, number: u32, argument: &mut T) -> Result<(), Errno> {
        // CAST: the size of an argument fits its 14 bits.
        let command =
            direction << 30 | (size_of::<T>() as u32) << 16 | u32::from(b'V') << 8 | number;
        let file = self.0.as_raw_fd() as usize;
        let argument = ptr::from_mut(argument).expose_provenance();
        // SAFETY: the functions above call this with the numbers of calls that read and write an argument
        // of this type, which is of integers only, and no other memory of this program's but what is
        // imported, which no Rust reference leads to.
        unsafe { call::call(call::IOCTL, &[file, command as usize, argument]) }.map(drop)
    }
}

/// The direction of an ioctl's argument, as its number has it: to the kernel, and both.
const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;
