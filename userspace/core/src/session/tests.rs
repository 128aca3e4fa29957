// SPDX-License-Identifier: GPL-2.0-only

//! The report as a whole.

use super::said::{ACCESS_FAILED, CALL_FAILED, WRONG_ENTRY};
use super::*;
use crate::errno::Errno;
use crate::fake::{Lie, Machine};

fn report(lie: Option<Lie>, paths: &[&CStr]) -> (Outcome, String) {
    let mut machine = Machine::new(2, lie);
    let mut out = String::new();
    let options = Options {
        may_unbind: true,
        ..Options::NONE
    };
    let mut session = Session::new(
        &mut machine,
        &mut out,
        None,
        None,
        paths.len() as u64,
        &options,
    );
    for path in paths {
        session.verify(path);
    }
    let verdict = session.finish();
    (verdict, out)
}

const COUNT: usize = CHECKS.len();

fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

fn last_line(out: &str) -> &str {
    out.lines().last().unwrap()
}

#[test]
fn a_pass() {
    let (verdict, out) = report(None, &[c"/dev/faultline0"]);
    assert_eq!(verdict.status(), 0);
    let lines: Vec<_> = out.lines().filter(|line| !line.contains("# ")).collect();
    let mut want = vec![
        "KTAP version 1".to_string(),
        "1..1".into(),
        "  KTAP version 1".into(),
        format!("  1..{COUNT}"),
    ];
    want.extend(
        (1..)
            .zip(names())
            .map(|(number, name)| format!("  ok {number} {name}")),
    );
    want.push("ok 1 /dev/faultline0".into());
    want.push(format!(
        "faultline-verify: PASS: 1 device, {COUNT} checks: {COUNT} passed, 0 failed, 0 skipped"
    ));
    assert_eq!(lines, want);
    assert!(out.contains(
        "# /dev/faultline0: 8192 bytes, coherent, DMA address 0x40000000\n  KTAP version 1\n  \
         # Subtest: /dev/faultline0\n"
    ));
    assert!(out.contains(&format!(
        "# Totals: pass:{COUNT} fail:0 xfail:0 xpass:0 skip:0 error:0\n"
    )));
}

#[test]
fn what_could_not_be_told_is_named_and_is_neither_a_pass_nor_a_failure() {
    let late = Some(Lie::LitmusFails(Errno::TIMEDOUT));
    let (verdict, out) = report(late, &[c"/dev/faultline0"]);
    assert_eq!(verdict.status(), 0);
    assert!(out.contains(
        "  ok 20 litmus_kernel # SKIP could not tell: each time a round of messages took longer than \
         seconds\n"
    ));
    let passed = COUNT - 1;
    assert_eq!(
        last_line(&out),
        format!(
            "faultline-verify: PASS: 1 device, {COUNT} checks: {passed} passed, 0 failed, 1 \
             skipped; could not tell, /dev/faultline0: litmus_kernel"
        )
    );
}

#[test]
fn every_check_has_a_line_of_what_was_seen_before_its_result() {
    let (_, out) = report(None, &[c"/dev/faultline0"]);
    let lines: Vec<_> = out.lines().collect();
    for (number, name) in (1..).zip(names()) {
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
            "faultline-verify: FAIL: 1 device, {} checks: {} passed, 3 failed, 0 skipped, \
             /dev/faultline0: pagemap_kernel, /dev/faultline0: past_end, \
             /dev/faultline0: walk_pfns",
            COUNT,
            COUNT - 3
        )
    );
}

#[test]
fn failures_that_do_not_fit_are_cut_off() {
    let paths = [c"/dev/faultline0", c"/dev/faultline1", c"/dev/faultline2"];
    let (_, out) = report(Some(Lie::MapRefused(Errno::NOMEM)), &paths);
    let line = last_line(&out);
    assert!(line.matches("/dev/faultline").count() >= 4, "{line}");
    assert!(line.ends_with("..."), "{line}");
    assert!(line.len() < 250, "{line}");
}

#[test]
fn a_skip_has_a_reason_and_does_not_fail() {
    let (verdict, out) = report(Some(Lie::UsedBefore), &[c"/dev/faultline0"]);
    assert_eq!(verdict, Outcome::Pass);
    assert!(out.contains("\n  ok 1 zeroed # SKIP the buffer was used before\n"));
    assert!(out.ends_with(&format!(
        ": PASS: 1 device, {} checks: {} passed, 0 failed, 1 skipped\n",
        COUNT,
        COUNT - 1
    )));
}

#[test]
fn a_device_that_is_not_there_fails() {
    let (verdict, out) = report(None, &[c"/dev/nul#l", c"/dev/faultline0"]);
    assert_eq!(verdict, Outcome::Fail);
    assert!(out.contains("1..2\n# /dev/nul?l: open: ENOENT, want success\n"));
    assert!(out.contains("\nok 2 /dev/faultline0\n"));
    assert!(out.ends_with(&format!(
        ": FAIL: 2 devices, {} checks: {} passed, 1 failed, 0 skipped, /dev/nul?l: open\n",
        COUNT + 1,
        COUNT
    )));
}

#[test]
fn a_device_of_another_driver_fails() {
    let (verdict, out) = report(Some(Lie::InfoFails(Errno::NOTTY)), &[c"/dev/faultline0"]);
    assert_eq!(verdict, Outcome::Fail);
    assert!(
        out.contains("# /dev/faultline0: open: INFO of a faultline device: ENOTTY, want success\n")
    );
    let (_, out) = report(Some(Lie::InfoSize(5)), &[c"/dev/faultline0"]);
    assert!(out.contains("open: INFO: size: 0x5, want 0x1000\n"));
}

#[test]
fn without_a_check_that_was_made_it_is_no_pass() {
    let counts = |passed, failed, skipped| {
        let counts = Counts {
            passed,
            failed,
            skipped,
        };
        counts.outcome()
    };
    assert_eq!(counts(0, 0, 0), Outcome::Skip);
    assert_eq!(counts(0, 0, 11), Outcome::Skip);
    assert_eq!(counts(1, 0, 10), Outcome::Pass);
    assert_eq!(counts(10, 1, 0), Outcome::Fail);
    assert_eq!(Outcome::Skip.status(), 4);
}

#[test]
fn no_device_is_no_pass() {
    let mut out = String::new();
    assert_eq!(no_device(&mut out, None, false), Outcome::Skip);
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
            COUNT
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
fn a_failed_check_says_what_it_means_before_its_result() {
    let (_, out) = report(Some(Lie::FramesMoved), &[c"/dev/faultline0"]);
    let lines: Vec<_> = out.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("  not ok 5 pagemap_kernel"))
        .unwrap();
    let check = &CHECKS[4];
    assert_eq!(
        lines[at - 1],
        format!(
            "  # pagemap_kernel: {} See docs/verdicts.md#pagemap_kernel.",
            check.failure
        )
    );
    assert!(lines[at - 2].starts_with("  # pagemap_kernel: physical address at offset 0x0: "));
    assert_eq!(out.matches("See docs/verdicts.md").count(), 1, "{out}");
}

#[test]
fn a_call_that_fails_is_not_explained_as_something_else() {
    let (_, out) = report(Some(Lie::MapRefused(Errno::NOMEM)), &[c"/dev/faultline0"]);
    assert!(out.contains(&format!(
        "  # alias_write: mmap() of the buffer: ENOMEM, want success\n  # alias_write: {CALL_FAILED} \
         See docs/verdicts.md#alias_write.\n  not ok 3 alias_write\n"
    )));
    let (_, out) = report(Some(Lie::PageIsMissing(1)), &[c"/dev/faultline0"]);
    assert!(out.contains(&format!("  # alias_write: {ACCESS_FAILED} See ")));
}

#[test]
fn the_right_memory_type_is_not_said_to_be_wrong() {
    for (lie, seen, meaning) in [
        (
            Lie::UserIsReadOnly,
            "access to the first mapping at offset 0x0: no access, want writable",
            WRONG_ENTRY,
        ),
        (
            Lie::UserIsNotThere,
            "access to the first mapping at offset 0x0: no access, want writable",
            WRONG_ENTRY,
        ),
        (
            Lie::Shareability(2),
            "shareability of the first mapping at offset 0x0: outer shareable, want inner shareable",
            WRONG_ENTRY,
        ),
    ] {
        let (_, out) = report(Some(lie), &[c"/dev/faultline0"]);
        let want = format!("  # attribute_user: {seen}\n  # attribute_user: {meaning} See ");
        assert!(out.contains(&want), "{out}");
    }
    // The kernel's own mapping has no VMA.
    let (_, out) = report(Some(Lie::KernelIsReadOnly), &[c"/dev/faultline0"]);
    assert!(
        out.contains("  # attribute_kernel: The kernel maps"),
        "{out}"
    );
    // Here the property itself is that TRANSLATE tells the truth.
    let (_, out) = report(Some(Lie::ConstantIsWritable), &[c"/dev/faultline0"]);
    assert!(
        out.contains("  # translate_known: TRANSLATE does not report"),
        "{out}"
    );
}

#[test]
fn every_check_says_in_whole_sentences_what_its_failure_means() {
    for check in CHECKS {
        let text = check.failure;
        assert!(text.ends_with('.') && !text.contains("  "), "{text}");
        let starts_well = text.starts_with(char::is_uppercase) || text.starts_with("read()");
        assert!(starts_well, "{text}");
        let has_first_step = check.failure.contains(" first");
        assert!(has_first_step, "{}: what to look at first", check.name);
    }
}

#[test]
fn progress_goes_to_the_terminal_alone() {
    let mut machine = Machine::new(2, None);
    let (mut out, mut terminal) = (String::new(), String::new());
    let options = Options::NONE;
    let mut session = Session::new(
        &mut machine,
        &mut out,
        None,
        Some(&mut terminal),
        1,
        &options,
    );
    session.verify(c"/dev/faultline0");
    session.finish();
    assert!(terminal.contains("/dev/faultline0: check "), "{terminal}");
    assert!(terminal.contains(&format!(" of {COUNT}, ")), "{terminal}");
    assert!(!out.contains('\x1b') && !out.contains("s left"), "{out}");
}

#[test]
fn a_quick_look_says_so_in_the_verdict() {
    let mut machine = Machine::new(2, None);
    let mut out = String::new();
    let options = Options {
        quick: true,
        ..Options::NONE
    };
    let mut session = Session::new(&mut machine, &mut out, None, None, 1, &options);
    session.verify(c"/dev/faultline0");
    session.finish();
    let want = format!(
        "faultline-verify: PASS: 1 device, {COUNT} checks (quick: the first MiB and the last page of \
         each buffer): "
    );
    assert!(last_line(&out).starts_with(&want), "{out}");
}

fn json(lie: Option<Lie>, path: &CStr) -> Vec<String> {
    let mut machine = Machine::new(2, lie);
    let (mut out, mut json) = (String::new(), String::new());
    let options = Options::NONE;
    let mut session = Session::new(&mut machine, &mut out, Some(&mut json), None, 1, &options);
    session.verify(path);
    session.finish();
    json.lines().map(String::from).collect()
}

#[test]
fn machines_are_told_the_same() {
    let lines = json(Some(Lie::Log("4,3,3,-;a \\x09\"b\"")), c"/dev/faultline0");
    assert_eq!(lines.len(), COUNT + 2);
    assert!(lines[0].starts_with(
        r#"{"device":"/dev/faultline0","check":"zeroed","result":"PASS","seen":"load by the "#
    ));
    assert_eq!(
        lines[COUNT - 1],
        r#"{"device":"/dev/faultline0","check":"kernel_log","result":"FAIL","seen":"warnings or "#
            .to_string()
            + r#"worse in /dev/kmsg: 1, want 0; the first: a \\x09\"b\"","meaning":""#
            + CHECKS[COUNT - 1].failure
            + r#" See docs/verdicts.md#kernel_log."}"#
    );
    let passed = COUNT - 2;
    assert_eq!(
        lines[COUNT],
        r#"{"device":"/dev/faultline0","bytes":8192,"dma_address":"0x40000000","#.to_string()
            + r#""user":"Normal write-back","kernel":"Normal write-back","master":"fake","#
            + &format!(r#""pass":{passed},"fail":1,"skip":1,"result":"FAIL"}}"#)
    );
    assert_eq!(
        lines[COUNT + 1],
        format!(
            r#"{{"devices":1,"quick":false,"pass":{passed},"fail":1,"skip":1,"result":"FAIL"}}"#
        )
    );
}

#[test]
fn machines_are_told_of_what_is_not_there() {
    let open = r#""check":"open","result":"FAIL","seen":"open: ENOENT, want success","#;
    assert_eq!(
        json(None, c"/dev/\"x\\"),
        [
            format!(
                r#"{{"device":"/dev/\"x\\",{open}"meaning":"{CALL_FAILED} See docs/verdicts.md#open."}}"#
            ),
            r#"{"devices":1,"quick":false,"pass":0,"fail":1,"skip":0,"result":"FAIL"}"#.into()
        ]
    );
    let mut json = String::new();
    no_device(&mut String::new(), Some(&mut json), true);
    let none = r#"{"devices":0,"quick":true,"pass":0,"fail":0,"skip":0,"result":"SKIP"}"#;
    assert_eq!(json, format!("{none}\n"));
}
