// SPDX-License-Identifier: GPL-2.0-only

//! Records of the kernel's log, as `/dev/kmsg` gives them (Documentation/ABI/testing/dev-kmsg).

/// A record: `6,339,5140900,-;text`, and lines that begin with a blank for each property.
///
/// ```
/// use faultline_core::kmsg::Record;
///
/// let record = Record::parse(b"4,339,5140900,-;cpu 1: gone\n SUBSYSTEM=cpu\n").unwrap();
/// assert_eq!((record.facility, record.level), (0, 4));
/// assert_eq!(record.text, b"cpu 1: gone");
/// assert!(record.is_complaint());
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Who wrote it; the kernel is 0.
    pub facility: u32,
    /// How urgent it is: 0 is an emergency, 4 a warning, 7 for debugging.
    pub level: u32,
    /// What it says, in one line; `\xNN` stands for what is not printable.
    pub text: &'a [u8],
}

/// The least urgent level that counts as a complaint: `KERN_WARNING`.
const WARNING: u32 = 4;

/// What the kernel prints when it caught itself in a mistake, at whatever level.
const SPLATS: [&[u8]; 4] = [b"BUG:", b"WARNING:", b"Oops", b"Call trace:"];

/// What the kernel warns of whenever a module from outside its tree is loaded, this driver being
/// one. It says nothing about how the driver behaves.
const TAINT: &[u8] = b"faultline: loading out-of-tree module taints kernel.";

impl<'a> Record<'a> {
    /// Takes a record apart. `None`: it is not one.
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let mut priority = 0u32;
        for digit in record.iter().take_while(|digit| digit.is_ascii_digit()) {
            priority = priority
                .wrapping_mul(10)
                .wrapping_add(u32::from(digit - b'0'));
        }
        let text = record.get(position(record, b';')? + 1..)?;
        let text = text.get(..position(text, b'\n').unwrap_or(text.len()))?;
        Some(Self {
            facility: priority >> 3,
            level: priority & 7,
            text,
        })
    }

    /// Whether the kernel complains here. What user space writes to the log is not the kernel's.
    pub fn is_complaint(&self) -> bool {
        self.facility == 0
            && self.text != TAINT
            && (self.level <= WARNING || SPLATS.iter().any(|splat| contains(self.text, splat)))
    }
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

fn contains(mut text: &[u8], part: &[u8]) -> bool {
    while !text.starts_with(part) {
        match text.split_first() {
            Some((_, rest)) => text = rest,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complains(record: &str) -> bool {
        Record::parse(record.as_bytes()).unwrap().is_complaint()
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
        let record = Record::parse(b"3,1,2,c,caller=T1;x;y\n KEY=WARNING: no\n").unwrap();
        assert_eq!(
            record,
            Record {
                facility: 0,
                level: 3,
                text: b"x;y"
            }
        );
        assert!(!complains("6,1,2,-;fine\n KEY=BUG: in a property\n"));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&b""[..], b"6,1,2,-", b"\n"] {
            assert_eq!(Record::parse(bytes), None);
        }
    }
}
