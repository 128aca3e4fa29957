// SPDX-License-Identifier: GPL-2.0-only

use super::*;

#[test]
fn each_kind_of_value_is_shown_as_what_it_is() {
    let fault = Fault {
        signal: Signal::Segv,
        address: 0x1000,
    };
    for (value, text) in [
        (Value::from(0_u64), "0"),
        (Value::from(u64::MAX), "18446744073709551615"),
        (Value::Word(u64::MAX), "0xffffffffffffffff"),
        (Value::from(true), "yes"),
        (Value::from(Ok::<_, Errno>(4096_u64)), "4096"),
        (Value::from(Err::<(), _>(Errno::PERM)), "EPERM"),
        (Value::from(Errno::new(4095)), "errno 4095"),
        (Value::from(Signal::Bus), "SIGBUS"),
        (Value::from(Err::<(), _>(fault)), "SIGSEGV"),
        (Value::from(Ok::<(), Fault>(())), "success"),
        (Value::Exit(3), "exit status 3"),
        (Value::Killed(9), "killed by signal 9"),
        (Value::Running, "still running"),
    ] {
        assert_eq!(value.to_string(), text);
    }
}

#[test]
fn a_number_is_never_taken_for_anything_else() {
    let mut finding = Finding::NONE;
    assert_ne!(Value::Count(22), Value::Errno(Errno::INVAL));
    let seen = Value::Word(u64::MAX - 21);
    assert_eq!(finding.same("word", seen, Errno::INVAL), Err(Stop::Fail));
    assert_eq!(finding.to_string(), "word: 0xffffffffffffffea, want EINVAL");
}

#[test]
fn memory_types_are_those_of_the_architecture() {
    for (attribute, text) in [
        (0xff, "Normal write-back"),
        (0xf0, "Normal write-back"),
        (0x44, "Normal non-cacheable"),
        (0x00, "Device-nGnRnE"),
        (0x04, "Device-nGnRE"),
        (0x08, "Device-nGRE"),
        (0x0c, "Device-GRE"),
        (0xbb, "memory attribute 0xbb"),
    ] {
        let memory = MemoryType::of_attribute(attribute);
        assert_eq!(memory.to_string(), text);
        let is_device = matches!(memory, MemoryType::Device(_));
        assert_eq!(is_device, text.starts_with("Device"));
    }
}

#[test]
fn a_line_has_all_that_is_known() {
    let mut finding = Finding::NONE;
    let subject = about("load by").of("the first mapping").at(8);
    assert_eq!(
        finding.same(subject, Value::Word(1), Value::Word(2)),
        Err(Stop::Fail)
    );
    finding.belongs_at = Some(16);
    finding.count = Some(Count {
        unit: "pages",
        wrong: 1,
        all: 4,
    });
    assert_eq!(
        finding.to_string(),
        "load by the first mapping at offset 0x8: 0x1 (which belongs at offset 0x10), want 0x2; \
         pages wrong: 1 of 4"
    );
    // Nothing of it is left for the next one.
    assert_eq!(finding.same("CPUs", 2_u64, 2_u64), Ok(()));
    assert_eq!(finding.to_string(), "CPUs: 2, want 2");
}

#[test]
fn what_is_needed_says_what_kind_of_thing_failed() {
    let mut finding = Finding::NONE;
    assert_eq!(finding.need("open", Ok::<_, Errno>(7)), Ok(7));
    assert_eq!(
        finding.need("open", Err::<(), _>(Errno::NOENT)),
        Err(Stop::Fail)
    );
    assert_eq!(finding.to_string(), "open: ENOENT, want success");
    assert_eq!(finding.matter, Matter::Call);
    let fault = Fault {
        signal: Signal::Bus,
        address: 0,
    };
    let access = about("load by the first mapping").at(0);
    assert_eq!(finding.access(access, Err::<(), _>(fault)), Err(Stop::Fail));
    assert_eq!(finding.matter, Matter::Access);
    let _ = finding.same("open", (), ());
    assert_eq!(finding.matter, Matter::Property);
}

#[test]
fn a_task_that_failed_is_said_with_the_call_and_its_error() {
    let said = |error| {
        let mut finding = Finding::NONE;
        assert_eq!(finding.task::<()>(Err(error)), Err(Stop::Fail));
        assert_eq!(finding.matter, Matter::Call);
        finding.to_string()
    };
    let failed = |call, errno| CallError { call, errno };
    assert_eq!(
        said(TaskError::Start(failed("clone()", Errno::AGAIN))),
        "clone(): EAGAIN, want success"
    );
    assert_eq!(
        said(TaskError::Call(failed("mremap()", Errno::NOMEM))),
        "mremap() by another task: ENOMEM, want success"
    );
    assert_eq!(
        said(TaskError::Killed(11)),
        "another task: killed by signal 11, want success"
    );
    let mut finding = Finding::NONE;
    assert_eq!(finding.task(Ok(7)), Ok(7));
}
