// SPDX-License-Identifier: GPL-2.0-only

//! Arguments for the linker, of this program alone.

fn main() {
    for arg in [
        // One page-aligned segment each for what is executed and what is written, no more.
        "-znoseparate-code",
        "--no-rosegment",
        // Unwinding tables would be of use to nobody: a panic says its place and ends.
        "--no-eh-frame-hdr",
        "--build-id=none",
        // Functions whose code is the same need not be there twice.
        "--icf=all",
    ] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
