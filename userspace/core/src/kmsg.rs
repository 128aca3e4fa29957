// SPDX-License-Identifier: GPL-2.0-only

//! Records of the kernel's log, as `/dev/kmsg` gives them (Documentation/ABI/testing/dev-kmsg).

use crate::name::TAINT;

/// The least urgent level that counts as a complaint: `KERN_WARNING`.
const WARNING: u8 = b'4';

/// What the kernel prints when it caught itself in a mistake, at whatever level.
const SPLATS: [&[u8]; 4] = [b"BUG:", b"WARNING:", b"Oops", b"Call trace:"];

/// What a record says, in one line, if the kernel complains there. `\xNN` stands for what is not
/// printable.
///
/// A record is `6,339,5140900,-;text`, and lines that begin with a blank for each property. Its
/// first number is the level, from 0, an emergency, to 7, for debugging, and eight times the
/// facility. The kernel's own is 0: a number of two digits is of what user space has written.
///
/// ```
/// use faultline_core::kmsg::complaint;
///
/// let record = b"4,339,5140900,-;cpu 1: gone\n SUBSYSTEM=cpu\n";
/// assert_eq!(complaint(record), Some(&b"cpu 1: gone"[..]));
/// ```
pub fn complaint(record: &[u8]) -> Option<&[u8]> {
    let [level @ b'0'..=b'7', b',', rest @ ..] = record else {
        return None;
    };
    let (_, text) = cut(rest, b';')?;
    let text = cut(text, b'\n').map_or(text, |(line, _)| line);
    let complains = *level <= WARNING || SPLATS.iter().any(|splat| contains(text, splat));
    (complains && text != TAINT.as_bytes()).then_some(text)
}

/// What is before the first of these bytes, and what is after it.
fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..index], &bytes[index + 1..]))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complains(record: &str) -> bool {
        complaint(record.as_bytes()).is_some()
    }

    #[test]
    fn levels_up_to_warning_are_complaints() {
        for level in 0..8 {
            assert_eq!(complains(&format!("{level},1,2,-;text\n")), level <= 4);
        }
    }

    #[test]
    fn splats_are_complaints_at_any_level() {
        for text in [
            "WARNING: at x.c:1",
            "BUG: sleeping",
            "Internal error: Oops: 1",
            "Call trace:",
        ] {
            assert!(complains(&format!("6,1,2,-;{text}\n")), "{text}");
        }
        assert!(!complains("6,1,2,-;a debug message\n"));
    }

    #[test]
    fn what_user_space_wrote_is_not_a_complaint() {
        assert!(!complains("12,1,2,-;a daemon's warning\n"));
    }

    #[test]
    fn the_taint_of_this_module_alone_is_excused() {
        assert!(!complains(
            "4,1,2,-;faultline: loading out-of-tree module taints kernel.\n"
        ));
        assert!(complains(
            "4,1,2,-;other: loading out-of-tree module taints kernel.\n"
        ));
        assert!(complains(
            "4,1,2,-;faultline: module license 'X' taints kernel.\n"
        ));
    }

    #[test]
    fn flags_that_a_later_kernel_adds_do_not_matter() {
        let record = b"3,1,2,c,caller=T1;x;y\n KEY=WARNING: no\n";
        assert_eq!(complaint(record), Some(&b"x;y"[..]));
        assert!(!complains("6,1,2,-;fine\n KEY=BUG: in a property\n"));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [
            &b""[..],
            b"4",
            b"4,1,2,-",
            b"\n",
            b"-4,1,2,-;x",
            b"9,1,2,-;x",
        ] {
            assert_eq!(complaint(bytes), None);
        }
    }
}
