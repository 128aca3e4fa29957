# SPDX-License-Identifier: GPL-2.0-only
#
# Faultline's front door. `make` lists what there is to do; board/common/setup does the work.
#
# A comment with two hashes beside a target, or before a variable's line, is what help prints.

ifeq ($(filter grouped-target,$(.FEATURES)),)
$(error GNU make 4.3 or later is needed, this is $(MAKE_VERSION))
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Two jobs: the programs for the guest are built while the kernel is, whose build at times keeps one CPU
# busy. The kernel's own make, and cargo, have their own number of jobs.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=2
endif
SHELL := /bin/bash
# -p: no BASH_ENV, no functions from the environment.
.SHELLFLAGS := -peuo pipefail -c

# With it the environment would replace this file's own variables, such as ARCH.
$(if $(findstring e,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),$(error make -e does not work here: \
	a variable of the environment counts without it))

# The variables of the user, by the help below. They count as arguments and in the environment, where
# an empty one is not set; an argument wins. What comes from the environment is said.
VARIABLES := $(shell sed -n 's/^\#\# \([A-Z_]*\)=.*/\1/p' Makefile)
FROM_ENVIRONMENT := $(foreach v,$(VARIABLES),$(if $(filter environment,$(origin $v)),$(if $(value $v),$v)))
$(foreach v,$(FROM_ENVIRONMENT),$(eval ENVIRONMENT_$v := $$(value $v)))
ifeq ($(MAKELEVEL),0)
$(if $(FROM_ENVIRONMENT),$(shell for v in $(FROM_ENVIRONMENT); do \
	printf 'faultline: %s=%s (from the environment)\n' "$$v" "$${!v}" >&2; done))
endif
# What is overwritten without a question is named by the user who calls, not by a forgotten variable.
$(if $(filter flash,$(MAKECMDGOALS)),$(foreach v,$(filter DEV IMAGE_FILE YES FORCE_LOOP,$(FROM_ENVIRONMENT)),\
	$(error $v is set in the environment: make flash takes it as an argument alone, $v=…)))

# Of the user's environment, what makes the shell, Python, pytest, git or QEMU do something else.
unexport $(filter PYTHON% PYTEST% BASH_FUNC_%,$(.VARIABLES))
unexport BASH_ENV ENV SHELLOPTS BASHOPTS CDPATH GLOBIGNORE POSIXLY_CORRECT LANGUAGE
unexport GREP_OPTIONS GREP_COLOR TAR_OPTIONS XZ_OPT XZ_DEFAULTS QEMU_AUDIO_DRV QEMU_MODULE_DIR
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
export PYTHONNOUSERSITE := 1
export LC_ALL := C.UTF-8

## BOARD=NAME        a folder of board/ (qemu-virt-arm64)
DEFAULT_BOARD := qemu-virt-arm64
ALL_BOARDS := $(patsubst board/%/board.env,%,$(wildcard board/*/board.env))
BOARD := $(DEFAULT_BOARD)
## KERNEL=NAME       run, stress, shell, module, …: a distribution's own kernel instead of one built here:
##                   debian, debian-16k (pages of 16 KiB) or debian-rt (docs/on-your-kernel.md)
KERNEL :=
KERNELS := debian debian-16k debian-rt
## KERNEL_SRC=DIR    Linux 7.3.y sources to build, instead of downloaded ones
KERNEL_SRC :=
## DEBUG=1           run, stress, kernel, …: the debug kernel (debug.fragment);
##                   test takes both kernels, and with DEBUG=0 skips what needs this one
DEBUG :=
## SELFTEST=1        module: the driver with its self-test (CONFIG_FAULTLINE_SELFTEST), which is what
##                   run, stress, … boot; with SELFTEST=0 they boot the driver alone
SELFTEST :=
## MUTANT=NAME       module, run, stress: a driver that is wrong on purpose (tests/mutants/NAME.patch)
MUTANT :=
## OVERLAY=DIR       run, shell: a directory laid over the guest's root
OVERLAY :=
## RUN='PROG ARG…'   run: a program of the guest in place of the verification
RUN :=
## DTS=FILE          run, shell, bench: a device-tree overlay in place of the board's
DTS :=
## SMP=N             CPUs of the guest
SMP :=
## MEM=SIZE          memory of the guest, such as 512M or 2G
MEM :=
## CPU=NAME          CPU model of the guest, such as cortex-a53
CPU :=
## PEER_KO=FILE      bench: another driver's module, to be measured beside ours
PEER_KO :=
## PEER_DEV='DEV…'   bench: its device nodes, as /dev/NAME or /dev/NAME=BYTES
PEER_DEV :=
## PEER_PARAMS='…'   bench: its module parameters
PEER_PARAMS :=
## APPEND='WORD…'    added to the kernel's command line
APPEND :=
## QEMU_ARGS='ARG…'  added to QEMU's command line
QEMU_ARGS :=
## TIMEOUT=SECONDS   run, bench, stress: end a guest that takes longer
TIMEOUT :=
## SEED=N            stress: the random numbers to go by, in place of new ones
SEED :=
## OPS=N             stress: how many operations (100000)
OPS := 100000
## PROCS=N           stress: how many processes share them (4)
PROCS := 4
## TESTS='-k NAME'   test: arguments for pytest, such as a file of tests/
TESTS :=
## BOARDS='NAME…'    test: the boards to boot beside the default one (all the others)
BOARDS := $(filter-out $(DEFAULT_BOARD),$(ALL_BOARDS))
## BOOTS=N           soak: how many guests to boot (100)
BOOTS := 100
## LG_ENV=FILE       test: on the board of this environment file of labgrid's (docs/farm.md)
LG_ENV :=
## DEV=/dev/NAME     flash: the SD card to overwrite
DEV :=
## IMAGE_FILE=FILE   flash: this image, instead of build/BOARD/image/sdcard.img
IMAGE_FILE :=
## YES=1             flash: do not ask
YES :=
## FORCE_LOOP=1      flash: a loop device is meant, to try it
FORCE_LOOP :=
## BUSYBOX=FILE      shell: a static arm64 busybox, instead of Debian's
BUSYBOX :=
## CYCLES=N          stress: how often the cases unbind each device and bind it again (25)
CYCLES := 25
## BUILDROOT=DIR     image: a source tree of Buildroot, instead of the release downloaded
BUILDROOT :=
## BUILDROOT_CONFIG=FILE  image: lines laid over the board's configuration of Buildroot
BUILDROOT_CONFIG :=
## BUILDROOT_RUST=host  image: with the Rust, bindgen and libclang of make run; or buildroot: with
##                   Buildroot's own, which takes hours, and which nobody has built to the end yet
BUILDROOT_RUST := host
## ROOM='ARG…'       clean-room: its arguments, such as '--release trixie --user root run'
ROOM := --help
$(foreach v,$(FROM_ENVIRONMENT),$(eval $v := $$(ENVIRONMENT_$v)))

# A mistyped variable would otherwise be ignored without a word.
unknown := $(strip $(foreach v,$(filter-out $(VARIABLES),$(.VARIABLES)),\
	$(if $(findstring command line,$(origin $v)),$v)))
$(if $(unknown),$(error unknown variable: $(unknown). There are: $(VARIABLES)))
$(if $(filter $(BOARD),$(ALL_BOARDS)),,$(error BOARD=$(BOARD): there is $(ALL_BOARDS)))
MUTANTS := $(patsubst tests/mutants/%.patch,%,$(wildcard tests/mutants/*.patch))
$(if $(filter-out $(MUTANTS),$(MUTANT)),$(error MUTANT=$(MUTANT): there is $(MUTANTS)))
$(if $(MUTANT),$(if $(filter 0,$(SELFTEST)),$(error SELFTEST=0 MUTANT=$(MUTANT): a mutant always has the self-test)))
$(foreach b,$(filter-out $(ALL_BOARDS),$(BOARDS)),$(error BOARDS=$b: there is $(ALL_BOARDS)))
$(foreach v,DEBUG SELFTEST YES FORCE_LOOP,$(if $(filter-out 0 1,$($v)),$(error $v=$($v): it is 0 or 1, or not set)))
$(if $(filter host buildroot,$(BUILDROOT_RUST)),,$(error BUILDROOT_RUST=$(BUILDROOT_RUST): it is host or buildroot))
ifneq ($(strip $(KERNEL)),)
# The board's cortex-a72 has no pages of 16 KiB.
ifeq ($(KERNEL)$(CPU),debian-16k)
CPU := cortex-a76
endif
$(if $(filter 1ok,$(words $(KERNEL))$(if $(filter $(KERNEL),$(KERNELS)),ok)),,$(error KERNEL=$(KERNEL): there is $(KERNELS); \
	without KERNEL= a kernel is built from its sources))
$(if $(filter $(DEFAULT_BOARD),$(BOARD)),,$(error KERNEL=$(KERNEL) BOARD=$(BOARD): KERNEL= is for $(DEFAULT_BOARD)))
$(foreach v,DEBUG KERNEL_SRC,$(if $(filter-out 0,$($v)),$(error KERNEL=$(KERNEL) $v=$($v): give one of the two, \
	because a distribution's kernel is taken as it is)))
$(foreach t,$(filter debug soak check test mutants farm lint unit image run-image flash rust-analyzer,$(MAKECMDGOALS)),\
	$(error KERNEL=$(KERNEL): make $t does not take KERNEL=))
endif
WITH_DEBUG_KERNEL := $(if $(filter 0,$(DEBUG)),,1)
override DEBUG := $(filter 1,$(DEBUG))
$(if $(DEBUG),$(if $(filter test mutants soak lint,$(MAKECMDGOALS)),$(error DEBUG=1: the tests boot both kernels)))

# Recipes take the values from their environment, where neither make nor the shell reads more into
# them than was given.
$(foreach v,$(VARIABLES),$(eval override $v := $$(value $v)))
export $(VARIABLES)

# Not with what is for makes alone: rustc looks for a job server there.
SETUP := env --unset=MAKEFLAGS --unset=MFLAGS board/common/setup
# What set-up has unpacked for want of a package.
export PATH := $(PATH):$(or $(filter /%,$(value XDG_CACHE_HOME)),$(HOME)/.cache)/faultline/bin
# The program itself names what is stuck: this is for a guest that does not run at all.
STRESS_TIMEOUT := 86400
# What board.env says of what is built; run.py reads the rest.
board = $(shell sed -n 's/^$1=//p' board/$(BOARD)/board.env)
ARCH := $(call board,ARCH)
# Of a kernel, and what is built against it, there are two; the rest is common to them.
COMMON := build/$(BOARD)
OUT := $(COMMON)$(if $(KERNEL),-$(KERNEL))$(if $(DEBUG),-debug)
TOOLS := $(COMMON)/tools.env
KERNEL_ENV := $(OUT)/kernel.env
IMAGE := $(OUT)/linux/arch/$(ARCH)/boot/$(call board,IMAGE)
# A build of one's own is the driver alone, unless asked otherwise; what boots a guest is the other way
# round. A mutant has the self-test, which is what it is for.
PRODUCTION := $(OUT)/driver/faultline.ko
TESTABLE := $(OUT)/driver-selftest/faultline.ko
MUTATED := $(OUT)/driver-$(MUTANT)/faultline.ko
MODULE := $(if $(MUTANT),$(MUTATED),$(if $(filter 0,$(SELFTEST)),$(PRODUCTION),$(TESTABLE)))
PROGRAM := $(COMMON)/faultline-verify
INIT := $(COMMON)/faultline-init
BENCH := $(COMMON)/faultline-bench
RELEASE := $(COMMON)/userspace/$(call board,RUST_TARGET)/release
IS_VIRT := $(filter virt,$(call board,MACHINE))
STRESS_DTSO := $(if $(IS_VIRT),dts/qemu-virt-stress.dtso,$(call board,DTSO))
# In an overlay of the guest's root.
STRESS := $(COMMON)/stress/bin/faultline-stress
# What the benchmark compares the driver with.
MODES := batches page-by-page eager
MODE_MODULES := $(MODES:%=$(OUT)/driver-%/faultline.ko)

# $(BOOT): run.py with those of these that have a value. It needs a QEMU that knows the board.
given = $${$1:+--$2 "$$$1"}
WITH_QEMU = . $(TOOLS); [[ -z $$QEMU_WHY_NOT ]] || { echo "faultline: error: $$QEMU_WHY_NOT" >&2; exit 1; }
BOOT = board/common/run.py --qemu "$$QEMU_BIN" --board $(BOARD) --kernel $(IMAGE) \
	--module $(MODULE) --init $(PROGRAM) --runner $(INIT) $(call given,OVERLAY,overlay) $(call given,RUN,run) \
	$(call given,DTS,dtso) $(call given,SMP,smp) $(call given,MEM,mem) $(call given,CPU,cpu) \
	$(call given,TIMEOUT,timeout) $${APPEND:+--append="$$APPEND"} \
	$${QEMU_ARGS:+--qemu-args="$$QEMU_ARGS"}

# $(MEASURE): bench.py likewise; llvm-size is the one of the LLVM in use.
MEASURE = $(WITH_QEMU); exec board/common/bench.py --board $(BOARD) --kernel $(IMAGE) \
	--module $(PRODUCTION) $(foreach m,$(MODES),--mode $m=$(OUT)/driver-$m/faultline.ko) --init $(PROGRAM) --runner $(INIT) --program $(BENCH) \
	--output $(OUT)/bench --size-tool "llvm-size$${LLVM\#1}" $(call given,DTS,dtso) $(call given,MEM,mem) \
	$(call given,CPU,cpu) $(call given,TIMEOUT,timeout) $(call given,PEER_KO,peer-ko) \
	$${PEER_DEV:+--peer-dev="$$PEER_DEV"} $${PEER_PARAMS:+--peer-params="$$PEER_PARAMS"} \
	$${APPEND:+--append="$$APPEND"}

# Where the tests look for the kernel and what is built against it.
KERNEL_OF_TESTS = $(CURDIR)/$(OUT)
in_tests = $(1:$(OUT)/%=$(KERNEL_OF_TESTS)/%)
# The virtual environment sees the machine's packages, because libfdt is one. pytest loads no plugin
# of theirs, only those of tests/requirements.in.
PLUGINS := labgrid.pytestplugin,xdist.plugin
IN_TESTS = env --chdir=tests --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL --unset=LG_ENV \
	FAULTLINE_BOARD=$(BOARD) FAULTLINE_BUILD=$(CURDIR)/$(COMMON) FAULTLINE_KERNEL_BUILD=$(KERNEL_OF_TESTS) \
	FAULTLINE_KERNEL=$(call in_tests,$(IMAGE)) FAULTLINE_MODULE=$(call in_tests,$(MODULE)) \
	FAULTLINE_VERIFY=$(CURDIR)/$(PROGRAM) FAULTLINE_INIT=$(CURDIR)/$(INIT) \
	FAULTLINE_BOARDS="$(BOARD) $(if $(IS_WHOLE),$(BOARDS))" \
	FAULTLINE_STRESS=$(CURDIR)/$(STRESS) FAULTLINE_DEBUG_BUILD=$(if $(WITH_DEBUG_KERNEL),$(CURDIR)/$(OUT)-debug) \
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTEST_PLUGINS=$(PLUGINS) \
	$${LG_ENV:+LG_ENV="$$(realpath "$$LG_ENV")"} $(CURDIR)/$(COMMON)/venv/bin/python
# Nothing that lies above the tree has a say.
PYTEST = $(IN_TESTS) -m pytest -c pytest.ini --rootdir=. --confcutdir=. $(if $(LG_ENV),test_board.py)
# Of the other boards, what programs for them are built with.
OTHER_TOOLS = $(if $(IS_WHOLE),+@for board in $(BOARDS); do $(MAKE) build/$$board/tools.env BOARD=$$board; done)
##
.PHONY: help run shell debug bench stress soak check test mutants farm lint unit module verify image run-image flash \
	defconfigs kernel setup doctor rust-analyzer clean distclean clean-room
help: ## List targets and variables
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | awk -F'\t' '{ printf "make %-14s %s\n", $$1, $$2 }'
	@echo; sed -n 's/^## /  /p' Makefile

run: $(MODULE) $(PROGRAM) $(INIT) ## Boot QEMU and have the driver verified; the verdict is make's status
	@$(WITH_QEMU); exec $(BOOT) $(if $(DEBUG),--timeout $${TIMEOUT:-900})

shell: $(MODULE) $(PROGRAM) $(INIT) ## Boot to a busybox shell with the driver loaded
	@$(SETUP) busybox $(COMMON)/shell
	@$(WITH_QEMU); exec $(BOOT) --overlay $(COMMON)/shell --run '/bin/sh -l' --interactive

debug: $(MODULE) $(PROGRAM) $(INIT) ## Start QEMU stopped, for gdb; says how to attach
	@$(WITH_QEMU); exec $(BOOT) --gdb

bench: $(PRODUCTION) $(MODE_MODULES) $(PROGRAM) $(INIT) $(BENCH) ## Measure the driver's modes, and a peer: a table, build/BOARD/bench/
	$(if $(IS_VIRT),,@echo "faultline: error: make bench counts instructions on one CPU: no model of $(BOARD) has one" >&2; exit 1)
	@$(MEASURE)

stress: $(MODULE) $(PROGRAM) $(INIT) $(STRESS) ## Ill-treat the driver: hostile cases, then random operations
	@$(WITH_QEMU); APPEND="loglevel=5 $$APPEND"; exec $(BOOT) --smp $${SMP:-4} --dtso $${DTS:-$(STRESS_DTSO)} \
		--timeout $${TIMEOUT:-$(STRESS_TIMEOUT)} --overlay $(dir $(STRESS))/.. \
		--run "/bin/faultline-stress $${SEED:+--seed $$SEED} --ops $$OPS --procs $$PROCS --cycles $$CYCLES"

soak: $(MODULE) $(PROGRAM) $(INIT) ## Boot every kind of machine in turn: the true driver must pass on each
	$(if $(WITH_DEBUG_KERNEL),@$(MAKE) module DEBUG=1 SELFTEST=1)
	@$(SETUP) tests
	@export FAULTLINE_BOOTS=$$BOOTS; exec $(PYTEST) -m soak

# The whole of the tests is the default board's; any other one is booted. On a board there is what is
# built for it, and no more to build.
IS_WHOLE := $(if $(LG_ENV),,$(filter $(DEFAULT_BOARD),$(BOARD)))
# A test that uses the kernel all the same finds none, whatever has been built.
check: KERNEL_OF_TESTS := $(CURDIR)/build/no-kernel/in-make-check
check: $(TOOLS) $(PROGRAM) $(INIT) ## Check what needs no kernel, within two minutes: for the edit loop
	$(OTHER_TOOLS)
	@$(SETUP) tests
	@exec $(PYTEST) -m 'not kernel and not slow' $(TESTS)

test: $(MODULE) $(PROGRAM) $(INIT) $(if $(IS_WHOLE),$(PRODUCTION) $(MODE_MODULES) $(BENCH) $(STRESS)) ## Run everything that can fail: lint, unit tests, binding, boots
	$(if $(IS_WHOLE),$(if $(WITH_DEBUG_KERNEL),@$(MAKE) module DEBUG=1 SELFTEST=1))
	$(if $(IS_WHOLE),@for board in $(BOARDS); do $(MAKE) module verify BOARD=$$board SELFTEST=1; done)
	@$(SETUP) tests
	@exec $(PYTEST) $(if $(IS_WHOLE)$(LG_ENV),,-m board) $(TESTS)

mutants: $(MODULE) $(PROGRAM) $(INIT) $(STRESS) ## Build every driver that is wrong on purpose: each must be caught
	@$(SETUP) tests
	@export FAULTLINE_ALL_MUTANTS=1; exec $(PYTEST) test_mutants.py $(TESTS)

flash: ## Write the board's SD card: checks that DEV is one, shows it, asks, reads it back
	@exec board/common/flash.py --board $(BOARD) --device "$$DEV" $(call given,IMAGE_FILE,image) \
		$(if $(filter 1,$(YES)),--yes) $(if $(filter 1,$(FORCE_LOOP)),--force-loop)

farm: $(MODULE) $(PROGRAM) $(INIT) ## Start a board farm of QEMU on this machine, until Ctrl-C
	@$(SETUP) tests
	@$(WITH_QEMU); exec $(IN_TESTS) labgrid/farm.py

lint: $(TOOLS) ## Check format, clippy on both sides, where unsafe may be, shell scripts
	$(OTHER_TOOLS)
	@$(SETUP) tests
	@exec $(PYTEST) -m 'lint and not kernel'
	@$(MAKE) kernel
	@exec $(PYTEST) -m 'lint and kernel'

unit: $(TOOLS) ## Run the host unit tests of userspace/
	@$(SETUP) cargo test --locked

module: $(if $(MUTANT),$(MUTATED),$(if $(filter 1,$(SELFTEST)),$(TESTABLE),$(PRODUCTION))) ## Build the driver: build/BOARD/driver/faultline.ko

verify: $(PROGRAM) $(INIT) ## Build the guest's programs: build/BOARD/faultline-verify, faultline-init

image: $(TOOLS) ## Build an image with Buildroot: build/BOARD/image/
	@$(SETUP) image

run-image: $(TOOLS) ## Boot that image in QEMU; its verdict is make's status
	@exec $(SETUP) run-image

defconfigs: ## Write buildroot/configs/ anew, from its fragments and board.env
	@$(SETUP) defconfigs buildroot/configs

kernel: $(KERNEL_ENV) ## Build the kernel, unless it is in the cache

setup: $(KERNEL_ENV) ## Get everything that the other targets need, without running them
	@$(SETUP) sysroot
	@$(SETUP) tests

doctor: ## Say what is found, which version, and what is missing; change nothing
	@$(SETUP) doctor

rust-analyzer: $(KERNEL_ENV) ## Write what editors need for the driver and for userspace/
	@$(SETUP) rust-analyzer

clean-room: ## Run make on a bare Debian machine, with empty caches, as root or by sudo; see ROOM=
	@exec tests/clean-room $(ROOM)

clean: ## Delete build/
	rm -rf build

distclean: clean ## Delete build/ and the cache: the kernel, downloads, tools
	@$(SETUP) distclean

# Set-up looks each time, and rewrites these only when there is something new.
FORCE:
$(TOOLS): FORCE
	@mkdir -p $(@D) 2>/dev/null && [[ -w $(@D) ]] || { echo "faultline: error: $(CURDIR)/$(@D) cannot be \
	written, and everything is built there. Copy the tree to where you may write" >&2; exit 1; }
	@$(SETUP) tools

$(KERNEL_ENV): $(TOOLS) FORCE
	@$(SETUP) kernel

DRIVER := $(wildcard driver/Kbuild $(foreach d,driver driver/* driver/*/*,$d/*.rs $d/*.[ch]))
$(PRODUCTION): $(KERNEL_ENV) $(DRIVER)
	@$(SETUP) module $(@D)
	@touch $@

$(TESTABLE): $(KERNEL_ENV) $(DRIVER)
	@$(SETUP) module $(@D) CONFIG_FAULTLINE_SELFTEST=y
	@touch $@

$(OUT)/driver-%/faultline.ko: $(KERNEL_ENV) $(DRIVER) tests/mutants/%.patch
	@$(SETUP) mutant $(@D) tests/mutants/$*.patch
	@touch $@

# Segments are what the kernel loads. Sections are for tools, which have more of them in RELEASE.
$(PROGRAM) $(INIT) $(BENCH) $(STRESS): $(TOOLS) FORCE
	@$(SETUP) cross build --locked --release --package $(@F)
	@mkdir -p $(@D)
	@. $(TOOLS); "llvm-objcopy$${LLVM#1}" --strip-sections $(RELEASE)/$(@F) $@.$$$$ && \
		if cmp --silent $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

.DEFAULT:
	@echo "make: there is no target '$@'; 'make help' lists them" >&2; exit 2
