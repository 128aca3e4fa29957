# SPDX-License-Identifier: GPL-2.0-only
"""No false alarm: the driver passes on every kind of machine, however often it runs.

`make test` boots a sample, in which every value of every axis occurs; `make soak` boots them all in
turn, as often as BOOTS says.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

import ktap
from guests import DEBUG_PATIENCE, PATIENCE, Boot
from places import Places

pytestmark = pytest.mark.soak


@dataclass(frozen=True)
class Machine:
    cpus: int
    model: str
    kind: str
    kernel: str

    def __str__(self) -> str:
        return f"{self.cpus} x {self.model}, {self.kind}, {self.kernel} kernel"


MACHINES = [
    Machine(cpus, model, kind, kernel)
    for kernel in ("default", "debug")
    for kind in ("coherent", "noncoherent")
    for model in ("cortex-a53", "cortex-a57", "cortex-a72", "max")
    for cpus in (1, 2, 4)
]
SAMPLE = [
    Machine(1, "cortex-a53", "coherent", "default"),
    Machine(4, "max", "noncoherent", "default"),
    Machine(2, "cortex-a57", "noncoherent", "debug"),
    Machine(4, "cortex-a72", "coherent", "debug"),
]
BOOTS = int(os.environ.get("TEST_BOOTS") or 0)
CHOSEN = list(itertools.islice(itertools.cycle(MACHINES), BOOTS)) if BOOTS else SAMPLE

# What takes two CPUs.
SIDE_BY_SIDE = {"master_polled", "litmus_kernel", "litmus_user"}
# What takes a bus master.
MASTER = {"master_fill", "master_copy", "master_refuses", "master_polled"}


def test_sample_has_every_value() -> None:
    for axis in ("cpus", "model", "kind", "kernel"):
        values = {getattr(machine, axis) for machine in MACHINES}
        assert {getattr(machine, axis) for machine in SAMPLE} == values


@pytest.mark.parametrize("machine", CHOSEN, ids=str)
def test_no_false_alarm(machine: Machine, places: Places, tmp_path: Path) -> None:
    patience = PATIENCE
    if machine.kernel == "debug":
        places.need_debug_kernel()
        places, patience = places.debug, DEBUG_PATIENCE

    overlay = tmp_path / "soak.dtso"
    overlay.write_text(f"""/dts-v1/;
/plugin/;
&{{/fw-cfg@9020000}} {{ status = "disabled"; }};
&{{/}} {{
    #address-cells = <2>;
    #size-cells = <2>;
    dma-buffer@9020000 {{
        compatible = "faultline,fw-cfg-buffer", "faultline,coherent-buffer";
        reg = <0x0 0x9020000 0x0 0x18>;
        size = <0x10000>;
        dma-{machine.kind};
    }};
    dma-buffer-0 {{
        compatible = "faultline,coherent-buffer";
        size = <0x210000>;
        dma-{machine.kind};
    }};
}};
""")
    run = Boot(places, tmp_path, patience)(
        f"--smp={machine.cpus}", f"--cpu={machine.model}", f"--dtso={overlay}"
    )
    assert (run.status, run.message) == (0, ""), run

    report = ktap.parse(run.console, places.kernel_source)
    skipped = SIDE_BY_SIDE if machine.cpus == 1 else set()
    wanted = {("/dev/faultline0", check) for check in skipped | MASTER}
    wanted |= {("/dev/faultline1", check) for check in skipped}
    assert (report.errors, report.not_ok, report.skipped) == (0, set(), wanted), run
