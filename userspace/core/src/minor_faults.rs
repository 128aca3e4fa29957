// SPDX-License-Identifier: GPL-2.0-only

//! How many page faults a process has had, as the kernel says it in `/proc`.

use crate::decimal;

/// The process's minor faults so far, from what `/proc/PID/stat` says (proc_pid_stat(5)). This
/// is the number that `getrusage()` gives as `ru_minflt`.
pub fn parse(stat: &[u8]) -> Option<u64> {
    // The name of the program comes second, in parentheses, and can have any character in it.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    // It is followed by a space and field 3; `minflt` is field 10.
    let mut fields = stat[name_end + 1..].split(|&byte| byte == b' ');
    decimal::parse(fields.nth(10 - 3 + 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_the_tenth_field() {
        assert_eq!(parse(b"1 (a b) R) S 4 5 6 7 8 9 1234 11\n"), Some(1234));
        assert_eq!(parse(b"1 (a) S 4 5 6 7 8 9 10 11"), Some(10));
        assert_eq!(parse(b"1 (a) S 4 5 6 7 8 9"), None);
        assert_eq!(parse(b"1 (a) S 4 5 6 7 8 9 x 11"), None);
        assert_eq!(parse(b"1 a S 4 5 6 7 8 9 10 11"), None);
    }
}
