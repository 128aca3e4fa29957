// SPDX-License-Identifier: GPL-2.0-only

//! The bus master: what it must not be told of, and an unbinding while it works.

use faultline_core::device::{Call, Device};
use faultline_uapi::{MASTER_COPY, MASTER_FILL};

use super::calls::{copy_of, fill_of, takes_any_bytes};
use super::*;

/// Places and lengths that a bus master must not be told of. Without one there is nobody to tell.
pub(super) fn masters(c: &mut Context<'_>) -> Result<(), Stop> {
    takes_any_bytes(c.target.master)?;
    let mut file = c.open()?;
    let (size, master) = (c.target.size, c.target.master);
    let limits = master.unwrap_or_default();
    // The whole of what is refused is left as it was.
    let written = file.write_at(0, &tagged(1130).to_ne_bytes());
    c.same("write()", written, 8)?;
    let written = file.write_at(size - 8, &tagged(1131).to_ne_bytes());
    c.same("write()", written, 8)?;
    for (offset, length) in [
        (0, 0),
        (size, 1),
        (size - 1, 2),
        (0, size + 1),
        (1, size),
        (0, 1 << 32),
        (0, u64::MAX),
        (1, u64::MAX),
        (8, u64::MAX - 7),
        (1 << 32, 8),
        (1 << 63, 1 << 63),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        // That the bus master has less than that does not make up for what is not there.
        (size - limits.max_fill, limits.max_fill + 1),
    ] {
        let want = master.map_or_else(Value::Errno, |_| Errno::INVAL.into());
        let answer = file.call(Call::Fill(&mut fill_of(offset, length)));
        c.same("FILL", answer, want)?;
        for (source, destination) in [(offset, 0), (0, offset)] {
            let answer = file.call(Call::Copy(&mut copy_of(source, destination, length)));
            c.same("COPY", answer, want)?;
        }
    }
    for reserved in [1, 1 << 63] {
        let mut fill = fill_of(0, 8);
        fill.reserved = reserved;
        let answer = file.call(Call::Fill(&mut fill));
        c.same("FILL with a reserved field", answer, Errno::INVAL)?;
        let mut copy = copy_of(0, 8, 8);
        copy.reserved = reserved;
        let answer = file.call(Call::Copy(&mut copy));
        c.same("COPY with a reserved field", answer, Errno::INVAL)?;
    }
    let too_long = limits.max_copy + 1;
    if limits.max_copy > 0 && too_long <= size {
        let answer = file.call(Call::Copy(&mut copy_of(0, 0, too_long)));
        c.same("COPY of more than there can be", answer, Errno::MSGSIZE)?;
    }
    c.read_word(&mut file, 0, tagged(1130))?;
    c.read_word(&mut file, size - 8, tagged(1131))?;
    if master.is_err() {
        return Ok(());
    }

    // At either end all is well, and over itself.
    for (source, destination) in [(0, 8), (8, size - 8), (size - 8, 0), (0, 4), (16, 16)] {
        let cleared = file.write_at(destination & !7, &[0; 8]);
        c.same("write()", cleared, 8)?;
        let written = file.write_at(source, &tagged(1132).to_ne_bytes());
        c.same("write()", written, 8)?;
        let answer = file.call(Call::Copy(&mut copy_of(source, destination, 8)));
        c.same("COPY", answer, ())?;
        let mut bytes = [0; 8];
        let length = file.read_at(destination, &mut bytes);
        c.same("length of a read()", length, 8)?;
        let word = Value::Word(u64::from_ne_bytes(bytes));
        c.same("word that was copied", word, Value::Word(tagged(1132)))?;
    }
    // All that may be asked for is not all that there is.
    let mut fill = fill_of(0, size);
    let answer = file.call(Call::Fill(&mut fill));
    c.same("FILL of all", answer, ())?;
    c.same("bytes filled", fill.length, limits.max_fill)?;
    let filled = file.call(Call::Fill(&mut fill_of(size - 1, 1)));
    c.same("FILL of the last byte", filled, ())
}

/// Several processes have the bus master work all the time: an unbinding waits for what is under
/// way, and nothing begins after it.
pub(super) fn unbind_against_masters(c: &mut Context<'_>) -> Result<(), Stop> {
    const PROCESSES: usize = 4;

    let Ok(master) = c.target.master else {
        return Err(Stop::Skip("it takes a bus master"));
    };
    let (fills, copies) = (
        master.abilities & MASTER_FILL != 0,
        master.abilities & MASTER_COPY != 0,
    );
    let unit = u64::from(master.alignment);
    let shared = numbers(c, 2)?;
    let [over, worked] = shared else {
        unreachable!("as many as were asked for");
    };
    let target = c.target;
    let mut children = heapless::Vec::<Child, PROCESSES>::new();
    for number in 0..PROCESSES as u64 {
        let child = fork(|| {
            while over.load(SeqCst) == 0 {
                let Ok(mut file) = target.open() else {
                    sleep_ms(1);
                    continue;
                };
                loop {
                    let turn = worked.fetch_add(1, SeqCst);
                    // All of them to the same place; and each from its own.
                    let worker = if fills && (turn % 2 == 0 || !copies) {
                        file.call(Call::Fill(&mut fill_of(0, master.max_fill)))
                    } else {
                        let place = 64 * number * unit;
                        let mut copy = copy_of(place, 512 * unit + place, 16 * unit);
                        file.call(Call::Copy(&mut copy))
                    };
                    match worker {
                        Ok(()) if over.load(SeqCst) == 0 => {}
                        Ok(()) => return 0,
                        Err(Errno::NODEV) => break,
                        Err(error) => return error.number() as i32,
                    }
                }
            }
            0
        });
        let child = c.found.need("fork()", child)?;
        let _ = children.push(child);
    }
    let result = (0..c.cycles * 4).try_for_each(|cycle| {
        let before = worked.load(SeqCst);
        c.wait_for("work of a bus master", worked, before + 1 + 8 * (cycle % 8))?;
        let unbound = c.target.unbind();
        let bound = c.target.bind();
        c.same("unbind", unbound, ())?;
        c.same("bind", bound, ())
    });
    over.store(1, SeqCst);
    result?;
    for child in children {
        c.ending("end of a process that has it work", child)?;
    }
    let unbound = c.target.unbind();
    let bound = c.target.bind();
    c.same("unbind", unbound, ())?;
    c.same("bind", bound, ())?;
    is_fresh(c)
}
