// SPDX-License-Identifier: GPL-2.0-only

//! The report as a whole.

use super::*;
use crate::checks::Check;
use crate::errno::Errno;
use crate::fake::{Lie, Machine};

fn report(lie: Option<Lie>, paths: &[&CStr]) -> (Outcome, String) {
    let mut machine = Machine::new(2, lie);
    let mut out = String::new();
    let mut session = Session::new(&mut machine, &mut out, paths.len() as u64, true);
    for path in paths {
        session.verify(path);
    }
    let verdict = session.finish();
    (verdict, out)
}

fn name(check: &Check) -> &'static str {
    std::str::from_utf8(check.name()).unwrap()
}

fn last_line(out: &str) -> &str {
    out.lines().last().unwrap()
}

#[test]
fn a_pass() {
    let (verdict, out) = report(None, &[c"/dev/faultline0"]);
    assert_eq!(verdict.status(), 0);
    let lines: Vec<_> = out.lines().filter(|line| !line.contains("# ")).collect();
    let checks = CHECKS.len();
    let mut want = vec![
        "KTAP version 1".to_string(),
        "1..1".into(),
        "  KTAP version 1".into(),
        format!("  1..{checks}"),
    ];
    want.extend(
        (1..)
            .zip(&CHECKS)
            .map(|(n, check)| format!("  ok {n} {}", name(check))),
    );
    want.push("ok 1 /dev/faultline0".into());
    want.push(format!(
        "faultline-verify: PASS: 1 device, {checks} checks: {checks} passed, 0 failed, 0 skipped"
    ));
    assert_eq!(lines, want);
    assert!(out.contains(
        "# /dev/faultline0: 8192 bytes, coherent, DMA address 0x40000000\n  KTAP version 1\n  \
         # Subtest: /dev/faultline0\n"
    ));
    assert!(out.contains(&format!(
        "# Totals: pass:{checks} fail:0 xfail:0 xpass:0 skip:0 error:0\n"
    )));
}

#[test]
fn every_check_has_a_line_of_what_was_seen_before_its_result() {
    let (_, out) = report(None, &[c"/dev/faultline0"]);
    let lines: Vec<_> = out.lines().collect();
    for (number, name) in (1..).zip(CHECKS.iter().map(name)) {
        let result = format!("  ok {number} {name}");
        let at = lines.iter().position(|line| **line == result).unwrap();
        assert!(
            lines[at - 1].starts_with(&format!("  # {name}: ")),
            "{}",
            lines[at - 1]
        );
        assert!(lines[at - 1].contains(", want "), "{}", lines[at - 1]);
    }
}

#[test]
fn a_failure_is_named_and_makes_its_device_fail() {
    let (verdict, out) = report(Some(Lie::FrameFails(Errno::IO)), &[c"/dev/faultline0"]);
    assert_eq!(verdict.status(), 1);
    assert!(out.contains("\n  not ok 5 pagemap_kernel\n"));
    assert!(out.contains("\n  ok 3 alias_write\n"));
    assert!(out.contains("\nnot ok 1 /dev/faultline0\n"));
    assert_eq!(
        last_line(&out),
        format!(
            "faultline-verify: FAIL: 1 device, {} checks: {} passed, 3 failed, 0 skipped: \
             /dev/faultline0: pagemap_kernel, /dev/faultline0: past_end, \
             /dev/faultline0: walk_frames",
            CHECKS.len(),
            CHECKS.len() - 3
        )
    );
}

#[test]
fn failures_that_do_not_fit_are_counted() {
    let paths = [c"/dev/faultline0", c"/dev/faultline1", c"/dev/faultline2"];
    let (_, out) = report(Some(Lie::MapRefused(Errno::NOMEM)), &paths);
    let failed = out.matches("\n  not ok ").count();
    let line = last_line(&out);
    let named = line.matches("/dev/faultline").count();
    assert!(named >= 4, "{line}");
    assert!(
        line.ends_with(&format!(" and {} more", failed - named)),
        "{line}"
    );
    assert!(line.len() < 250, "{line}");
}

#[test]
fn a_skip_has_a_reason_and_does_not_fail() {
    let (verdict, out) = report(Some(Lie::UsedBefore), &[c"/dev/faultline0"]);
    assert_eq!(verdict, Outcome::Pass);
    assert!(out.contains(
        "\n  ok 1 zeroed # SKIP INFO: PRISTINE, never mapped or written to: 0, want 1\n"
    ));
    assert!(out.ends_with(&format!(
        ": PASS: 1 device, {} checks: {} passed, 0 failed, 1 skipped\n",
        CHECKS.len(),
        CHECKS.len() - 1
    )));
}

#[test]
fn a_device_that_is_not_there_fails() {
    let (verdict, out) = report(None, &[c"/dev/nul#l", c"/dev/faultline0"]);
    assert_eq!(verdict, Outcome::Fail);
    assert!(out.contains("1..2\n# /dev/nul?l: open: ENOENT, want no error\nnot ok 1 /dev/nul?l\n"));
    assert!(out.contains("\nok 2 /dev/faultline0\n"));
    assert!(out.ends_with(&format!(
        ": FAIL: 2 devices, {} checks: {} passed, 1 failed, 0 skipped: /dev/nul?l: open\n",
        CHECKS.len() + 1,
        CHECKS.len()
    )));
}

#[test]
fn a_device_of_another_driver_fails() {
    let (verdict, out) = report(Some(Lie::InfoFails(Errno::NOTTY)), &[c"/dev/faultline0"]);
    assert_eq!(verdict, Outcome::Fail);
    assert!(out
        .contains("# /dev/faultline0: open: INFO of a faultline device: ENOTTY, want no error\n"));
    let (_, out) = report(Some(Lie::InfoSize(5)), &[c"/dev/faultline0"]);
    assert!(out.contains("open: INFO: size: 0x5, want 0x1000\n"));
}

#[test]
fn without_a_check_that_was_made_it_is_no_pass() {
    let counts = |passed, failed, skipped| Counts([passed, failed, skipped]).outcome();
    assert_eq!(counts(0, 0, 0), Outcome::Skip);
    assert_eq!(counts(0, 0, 11), Outcome::Skip);
    assert_eq!(counts(1, 0, 10), Outcome::Pass);
    assert_eq!(counts(10, 1, 0), Outcome::Fail);
    assert_eq!(Outcome::Skip.status(), 4);
}

#[test]
fn no_device_is_no_pass() {
    let mut out = String::new();
    assert_eq!(no_device(&mut out), Outcome::Skip);
    assert_eq!(
        out,
        "KTAP version 1\n1..0 # SKIP no /dev/faultline* device\n\
         faultline-verify: SKIP: no /dev/faultline* device\n"
    );
}

#[test]
fn the_table_has_a_line_for_each_device() {
    let (_, out) = report(None, &[c"/dev/faultline0", c"/dev/faultline1"]);
    let lines: Vec<_> = out.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("# device | "))
        .unwrap();
    let columns = |line: &str| line.split('|').count();
    assert_eq!(columns(lines[at + 1]), columns(lines[at]));
    assert_eq!(
        lines[at + 1],
        format!(
            "# /dev/faultline0 | 8192 | 0x40000000 | Normal write-back | Normal write-back | fake \
             | {} | 0 | 0",
            CHECKS.len()
        )
    );
    assert!(lines[at + 2].starts_with("# /dev/faultline1 | "));
    assert!(lines[at + 3].starts_with("# Totals: "));
}

#[test]
fn what_is_not_known_is_not_said() {
    let lie = Lie::TranslateFails(Errno::OPNOTSUPP);
    let (_, out) = report(Some(lie), &[c"/dev/faultline0"]);
    assert!(out.contains(" | unknown | unknown | fake | "), "{out}");
    let (_, out) = report(Some(Lie::NoMaster), &[c"/dev/faultline0"]);
    assert!(out.contains(" | Normal write-back | - | "), "{out}");
}

#[test]
fn a_failure_is_explained_once() {
    let paths = [c"/dev/faultline0", c"/dev/faultline1"];
    let (_, out) = report(Some(Lie::FramesMoved), &paths);
    let meaning = "# pagemap_kernel: wrong frames: how an address becomes a frame\n";
    assert_eq!(out.matches(meaning).count(), 1, "{out}");
    assert!(out.find("# device | ") < out.find(meaning));
    for check in &CHECKS {
        let line = format!("# {}\n", check.0);
        assert_eq!(
            out.contains(&line),
            name(check) == "pagemap_kernel",
            "{line}"
        );
        assert!(
            check.0.len() > name(check).len() + 2 && line.len() < 80,
            "{line}"
        );
    }
}
