// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note

//! The numbers and the layout, against what rustix's `_IOR()` and its like and the C ABI give.

extern crate std;

use core::mem::{align_of, offset_of, size_of};
use std::collections::BTreeSet;

use rustix::ioctl::opcode;

use super::*;

// These fail to compile, not to run, when a number drifts.
const _: () = {
    use opcode::{read, read_write, write};

    const TYPE: u8 = IOC_TYPE as u8;

    assert!(FAULTLINE_IOC_INFO == read::<Info>(TYPE, NR_INFO as u8));
    assert!(FAULTLINE_IOC_PREFAULT == write::<Prefault>(TYPE, NR_PREFAULT as u8));
    assert!(FAULTLINE_IOC_EXPORT == write::<Export>(TYPE, NR_EXPORT as u8));
    assert!(FAULTLINE_IOC_SYNC == write::<Sync>(TYPE, NR_SYNC as u8));
    assert!(FAULTLINE_IOC_FRAME == read_write::<Frame>(TYPE, NR_FRAME as u8));
    assert!(FAULTLINE_IOC_TRANSLATE == read_write::<Translation>(TYPE, NR_TRANSLATE as u8));
    assert!(FAULTLINE_IOC_MASTER == read::<Master>(TYPE, NR_MASTER as u8));
    assert!(FAULTLINE_IOC_FILL == read_write::<Fill>(TYPE, NR_FILL as u8));
    assert!(FAULTLINE_IOC_COPY == write::<Copy>(TYPE, NR_COPY as u8));
    assert!(FAULTLINE_IOC_COPY_IMPORTED == write::<CopyImported>(TYPE, NR_COPY_IMPORTED as u8));
    assert!(FAULTLINE_IOC_LITMUS == read_write::<Litmus>(TYPE, NR_LITMUS as u8));
};

#[test]
fn ioctl_type_and_numbers_fit_their_fields() {
    assert_eq!(IOC_TYPE, u32::from(b'|'));
    let numbers = [
        NR_INFO,
        NR_FRAME,
        NR_TRANSLATE,
        NR_MASTER,
        NR_FILL,
        NR_COPY,
        NR_LITMUS,
        NR_COPY_IMPORTED,
        NR_PREFAULT,
        NR_SYNC,
        NR_EXPORT,
    ];
    for nr in numbers {
        assert!(
            (0x80..=0x9f).contains(&nr),
            "{nr:#x} is not set aside for samples"
        );
    }
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "two are the same"
    );
}

/// A test that a type has the size and the offsets given, on every ABI.
macro_rules! layout {
    ($test:ident: $type:ident, $size:literal, { $($field:ident: $offset:literal,)* }) => {
        #[test]
        fn $test() {
            let expected = ($size, align_of::<u64>());
            assert_eq!((size_of::<$type>(), align_of::<$type>()), expected);
            $(assert_eq!(offset_of!($type, $field), $offset, stringify!($field));)*
        }
    };
}

layout!(prefault_has_the_same_layout_on_every_abi: Prefault, 16, {
    address: 0,
    length: 8,
});
layout!(export_has_the_same_layout_on_every_abi: Export, 8, {
    flags: 0,
});
layout!(info_has_the_same_layout_on_every_abi: Info, 24, {
    flags: 0,
    reserved: 4,
    size: 8,
    dma_address: 16,
});

layout!(sync_has_the_same_layout_on_every_abi: Sync, 24, {
    flags: 0,
    reserved: 4,
    offset: 8,
    length: 16,
});

layout!(frame_has_the_same_layout_on_every_abi: Frame, 16, {
    offset: 0,
    physical_address: 8,
});

layout!(translation_has_the_same_layout_on_every_abi: Translation, 40, {
    address: 0,
    request: 8,
    flags: 12,
    attribute: 16,
    shareability: 17,
    fault: 18,
    reserved: 19,
    entry_size: 24,
    physical_address: 32,
});

layout!(master_has_the_same_layout_on_every_abi: Master, 48, {
    name: 0,
    abilities: 16,
    alignment: 20,
    max_fill: 24,
    max_copy: 32,
    data: 40,
    reserved: 44,
});

layout!(fill_has_the_same_layout_on_every_abi: Fill, 24, {
    offset: 0,
    length: 8,
    reserved: 16,
});

layout!(copy_has_the_same_layout_on_every_abi: Copy, 32, {
    source: 0,
    destination: 8,
    length: 16,
    reserved: 24,
});

layout!(copy_imported_has_the_same_layout_on_every_abi: CopyImported, 32, {
    fd: 0,
    request: 4,
    offset: 8,
    imported: 16,
    length: 24,
});

layout!(litmus_has_the_same_layout_on_every_abi: Litmus, 64, {
    cpu: 0,
    test: 4,
    rounds: 8,
    data: 16,
    flag: 24,
    answer_data: 32,
    answer_flag: 40,
    wrong: 48,
    first_wrong_round: 56,
});

#[test]
fn flags_are_distinct_bits() {
    for [one, other] in [
        [FLAG_COHERENT, FLAG_PRISTINE],
        [FLAG_CACHED, FLAG_PRISTINE],
        [FLAG_COHERENT, FLAG_CACHED],
        [SYNC_READ, SYNC_WRITE],
        [SYNC_END, SYNC_WRITE],
        [TRANSLATE_KERNEL, TRANSLATE_WRITE],
        [TRANSLATED, TRANSLATION_WRITABLE],
        [MASTER_FILL, MASTER_COPY],
    ] {
        assert!(one.is_power_of_two() && other.is_power_of_two());
        assert_ne!(one, other);
    }
}

#[test]
fn litmus_words_tell_rounds_apart() {
    let mut halves = BTreeSet::new();
    for round in [0, 1, 2, 99_999, 100_000, 1 << 32, u64::MAX - 1, u64::MAX] {
        for index in 0..LITMUS_WORDS {
            let word = litmus_word(round, index);
            assert!(
                halves.insert(word as u32) && halves.insert((word >> 32) as u32),
                "round {round}, word {index}: a half is another's"
            );
        }
    }
}
