// SPDX-License-Identifier: GPL-2.0-only

//! Arguments for the linker, of the programs alone.

fn main() {
    for arg in [
        // One page-aligned segment each for what is executed and what is written, no more.
        "-znoseparate-code",
        "--no-rosegment",
        "--no-eh-frame-hdr",
        "--build-id=none",
        // Functions whose code is the same need not be there twice.
        "--icf=all",
    ] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    // What it leaves out, it says itself.
    println!(
        "cargo::rustc-link-arg-bins=-T{}/../verify/discard.ld",
        env!("CARGO_MANIFEST_DIR")
    );
    println!("cargo::rerun-if-changed=../verify/build.rs");
    println!("cargo::rerun-if-changed=../verify/discard.ld");
}
