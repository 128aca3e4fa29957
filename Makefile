# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of Faultline. `make` lists them; board/common/setup does the work.
#
# `make help` prints the comments with two hashes: beside a target, and before a variable.

ifeq ($(filter grouped-target,$(.FEATURES)),)
$(error GNU make 4.3 or later is needed, this is $(MAKE_VERSION))
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Two jobs: the programs for the guest are built at the same time as the kernel, whose build sometimes
# uses one CPU only. The kernel's own make, and cargo, have their own number of jobs.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=2
endif
SHELL := /bin/bash
# -p: no BASH_ENV, no functions from the environment.
.SHELLFLAGS := -peuo pipefail -c

# With -e the environment would replace this file's own variables, such as ARCH.
$(if $(findstring e,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),$(error make -e does not work here: \
	a variable of the environment counts without it))

# The project's name, in each form that is used below.
project = $(shell sed -n 's/^$1=//p' board/common/project.env)
PROJECT := $(call project,PROJECT)
KCONFIG := $(call project,KCONFIG)
KO := $(call project,MODULE).ko

# The user's variables, as the help below lists them. They are arguments, or in the environment, where
# an empty one counts as not set. An argument overrides the environment. Each variable that is taken
# from the environment is printed. NAME and its like mean something else there on many machines.
VARIABLES := $(shell sed -n 's/^\#\# \([A-Z_]*\)=.*/\1/p' Makefile)
# NAME and its like mean something else there.
FROM_ENVIRONMENT := $(foreach v,$(filter-out NAME DIR WITH,$(VARIABLES)),$(if $(filter environment,$(origin $v)),$(if $(value $v),$v)))
$(foreach v,$(FROM_ENVIRONMENT),$(eval ENVIRONMENT_$v := $$(value $v)))
ifeq ($(MAKELEVEL),0)
$(if $(FROM_ENVIRONMENT),$(shell for v in $(FROM_ENVIRONMENT); do \
	printf '$(PROJECT): %s=%s (from the environment)\n' "$$v" "$${!v}" >&2; done))
endif
# A forgotten variable in the environment must not select what make flash overwrites.
$(if $(filter flash,$(MAKECMDGOALS)),$(foreach v,$(filter DEV IMAGE_FILE YES FORCE_LOOP,$(FROM_ENVIRONMENT)),\
	$(error $v is set in the environment: make flash takes it as an argument alone, $v=…)))

# Variables of the user that change what the shell, Python, pytest, git or QEMU do.
unexport $(filter PYTHON% PYTEST% BASH_FUNC_%,$(.VARIABLES))
unexport BASH_ENV ENV SHELLOPTS BASHOPTS CDPATH GLOBIGNORE POSIXLY_CORRECT LANGUAGE
unexport GREP_OPTIONS GREP_COLOR TAR_OPTIONS XZ_OPT XZ_DEFAULTS QEMU_AUDIO_DRV QEMU_MODULE_DIR
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
export PYTHONNOUSERSITE := 1
export LC_ALL := C.UTF-8

## BOARD=NAME        the board: a folder of board/ (default: qemu-virt-arm64)
DEFAULT_BOARD := qemu-virt-arm64
ALL_BOARDS := $(patsubst board/%/board.env,%,$(wildcard board/*/board.env))
BOARD := $(DEFAULT_BOARD)
## KERNEL=NAME       run, stress, shell, module, …: a distribution's own kernel instead of one built here:
##                   debian, debian-16k (pages of 16 KiB) or debian-rt (docs/on-your-kernel.md)
KERNEL :=
KERNELS := debian debian-16k debian-rt
## KERNEL_SRC=DIR    Linux 7.3.y sources to build, instead of downloaded ones
KERNEL_SRC :=
## DEBUG=1           run, stress, kernel, …: use the debug kernel (debug.fragment).
##                   test uses both kernels; DEBUG=0 skips the tests of the debug kernel
DEBUG :=
## SELFTEST=1        module: build the driver with its self-test (CONFIG_…_SELFTEST), as
##                   run, stress, … do; with SELFTEST=0 these boot the driver alone
SELFTEST :=
## MUTANT=NAME       module, run, stress: a driver that is broken on purpose (tests/mutants/NAME.patch)
MUTANT :=
## OVERLAY=DIR       run, shell: copy the files of this directory into the guest's root
OVERLAY :=
## RUN='PROG ARG…'   run: run this program in the guest instead of the verification
RUN :=
## DTS=FILE          run, shell, bench, …: use this device-tree overlay instead of the board's; run, shell
##                   and stress warn of what dt-validate finds in the tree
DTS :=
## SMP=N             number of CPUs of the guest
SMP :=
## MEM=SIZE          size of the guest's memory, such as 512M or 2G
MEM :=
## CPU=NAME          CPU model of the guest, such as cortex-a53
CPU :=
## PEER_KO=FILE      bench: also measure this module of another driver
PEER_KO :=
## PEER_DEV='DEV…'   bench: that driver's device nodes, as /dev/NAME or /dev/NAME=BYTES
PEER_DEV :=
## PEER_PARAMS='…'   bench: that driver's module parameters
PEER_PARAMS :=
## APPEND='WORD…'    words to add to the kernel's command line
APPEND :=
## QEMU_ARGS='ARG…'  arguments to add to QEMU's command line
QEMU_ARGS :=
## TIMEOUT=SECONDS   run, bench, stress, …: end a guest that takes longer
TIMEOUT :=
## SEED=N            stress: the seed of the random operations (default: a new one)
SEED :=
## CASE='NAME…'      stress: run these cases only (docs/stress.md), up to 16
CASE :=
## OPS=N             stress: number of random operations (default: 100000)
OPS := 100000
## PROCS=N           stress: number of processes that share the operations (default: 4)
PROCS := 4
## TESTS='-k NAME'   test, check: arguments for pytest, such as a file of tests/
TESTS :=
## BOARDS='NAME…'    test: boards to boot in addition to the default one (default: all others)
BOARDS := $(filter-out $(DEFAULT_BOARD),$(ALL_BOARDS))
## BOOTS=N           soak: number of guests to boot (default: 100)
BOOTS := 100
## LG_ENV=FILE       test: test the board that this labgrid environment file describes (docs/farm.md)
LG_ENV :=
## DEV=/dev/NAME     flash: the SD card to overwrite
DEV :=
## IMAGE_FILE=FILE   flash: write this image instead of build/BOARD/image/sdcard.img
IMAGE_FILE :=
## YES=1             flash: do not ask before writing
YES :=
## FORCE_LOOP=1      flash: accept a loop device
FORCE_LOOP :=
## BUSYBOX=FILE      shell: use this static busybox for the board instead of Debian's
BUSYBOX :=
## CYCLES=N          stress: how often a case unbinds and rebinds each device (default: 25)
CYCLES := 25
## BUILDROOT=DIR     image: use this source tree of Buildroot instead of downloading a release
BUILDROOT :=
## BUILDROOT_CONFIG=FILE  image: lines that override the board's configuration of Buildroot
BUILDROOT_CONFIG :=
## BUILDROOT_RUST=host  image: build with the Rust, bindgen and libclang of make run (the default), or
##                   with =buildroot with Buildroot's own: takes hours, and nobody has finished it yet
BUILDROOT_RUST := host
## NAME=VENDOR-DEVICE new-driver: what the driver is called, such as acme-ring
NAME :=
## DIR=DIRECTORY     new-driver: where to make it (default: ../NAME)
DIR :=
## WITH='ROOM…'      new-driver: what it has in addition to the smallest driver that is whole, such as
##                   buildroot, or all (docs/your-driver.md lists the rooms)
WITH :=
## ROOM='ARG…'       clean-room: arguments, such as '--release trixie --user root run'
ROOM := --help
$(foreach v,$(FROM_ENVIRONMENT),$(eval $v := $$(ENVIRONMENT_$v)))

# Without this, make would ignore a mistyped variable.
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
$(foreach t,$(filter debug soak check test mutants farm lint unit image run-image flash upstream upstream-check rust-analyzer,$(MAKECMDGOALS)),\
	$(error KERNEL=$(KERNEL): make $t does not take KERNEL=))
endif
$(if $(filter upstream-check,$(MAKECMDGOALS)),$(if $(filter $(DEFAULT_BOARD),$(BOARD)),,\
	$(error BOARD=$(BOARD): make upstream-check builds the kernel of $(DEFAULT_BOARD) alone)))
WITH_DEBUG_KERNEL := $(if $(filter 0,$(DEBUG)),,1)
override DEBUG := $(filter 1,$(DEBUG))
$(if $(DEBUG),$(if $(filter test mutants soak lint,$(MAKECMDGOALS)),$(error DEBUG=1: the tests boot both kernels)))

# Recipes read the values from their environment, where neither make nor the shell expands them.
$(foreach v,$(VARIABLES),$(eval override $v := $$(value $v)))
export $(VARIABLES)

# Without make's own flags: rustc would look for a job server there.
SETUP := env --unset=MAKEFLAGS --unset=MFLAGS board/common/setup
# Programs of packages that set-up has unpacked into the cache because apt could not install them. Where
# HOME is not set, set-up finds it.
export PATH := $(PATH):$(shell : "$${HOME:=/}"; . board/common/cache.sh; echo "$$CACHE")/bin
# The program itself names an operation that hangs: this is for a guest that does not run at all.
STRESS_TIMEOUT := 86400
# The values of board.env for builds; run.py reads the rest.
board = $(shell sed -n 's/^$1=//p' board/$(BOARD)/board.env)
ARCH := $(call board,ARCH)
# There are two kernels, each with its own output of what is built against it; the rest is common.
COMMON := build/$(BOARD)
OUT := $(COMMON)$(if $(KERNEL),-$(KERNEL))$(if $(DEBUG),-debug)
TOOLS := $(COMMON)/tools.env
KERNEL_ENV := $(OUT)/kernel.env
IMAGE := $(OUT)/linux/arch/$(ARCH)/boot/$(call board,IMAGE)
# make module builds the driver alone, unless SELFTEST=1. What boots a guest uses the driver with its
# self-test, unless SELFTEST=0. A mutant always has the self-test.
PRODUCTION := $(OUT)/driver/$(KO)
TESTABLE := $(OUT)/driver-selftest/$(KO)
MUTATED := $(OUT)/driver-$(MUTANT)/$(KO)
MODULE := $(if $(MUTANT),$(MUTATED),$(if $(filter 0,$(SELFTEST)),$(PRODUCTION),$(TESTABLE)))
PROGRAM := $(COMMON)/$(PROJECT)-verify
INIT := $(COMMON)/$(PROJECT)-init
BENCH := $(COMMON)/$(PROJECT)-bench
RELEASE := $(COMMON)/userspace/$(call board,RUST_TARGET)/release
IS_VIRT := $(filter virt,$(call board,MACHINE))
STRESS_DTSO := $(if $(IS_VIRT),dts/qemu-virt-stress.dtso,$(call board,DTSO))
# A machine that needs a starter has no more CPUs than that starts.
STRESS_SMP := $(if $(call board,STARTER),$(call board,SMP),4)
# Its folder is an OVERLAY= of the guest's root.
STRESS := $(COMMON)/stress/bin/$(PROJECT)-stress
# Mutants that the benchmark compares the driver with.
MODES := batches page-by-page eager
MODE_MODULES := $(MODES:%=$(OUT)/driver-%/$(KO))

# Python, in a version that is new enough, without the user's configuration.
PYTHON := board/common/python -EsB
# $(BOOT): run.py, with an option for each variable that has a value. It needs a QEMU that has the board.
given = $${$1:+--$2 "$$$1"}
WITH_QEMU = . $(TOOLS); [[ -z $$QEMU_WHY_NOT ]] || { echo "$(PROJECT): error: $$QEMU_WHY_NOT" >&2; exit 1; }
# The user's own device tree is checked by the program that the tests use, where that is installed.
VALIDATE = $${DTS:+--validate $(COMMON)/venv/bin/dt-validate}
BOOT = $(PYTHON) board/common/run.py --qemu "$$QEMU_BIN" --board $(BOARD) --kernel $(IMAGE) \
	--module $(MODULE) --init $(PROGRAM) --runner $(INIT) $(call given,OVERLAY,overlay) $(call given,RUN,run) \
	$(call given,DTS,dtso) $(VALIDATE) $(call given,SMP,smp) $(call given,MEM,mem) $(call given,CPU,cpu) \
	$(call given,TIMEOUT,timeout) $${APPEND:+--append="$$APPEND"} \
	$${QEMU_ARGS:+--qemu-args="$$QEMU_ARGS"}

# $(MEASURE): bench.py in the same way; llvm-size is of the LLVM in use.
MEASURE = $(WITH_QEMU); exec $(PYTHON) board/common/bench.py --board $(BOARD) --kernel $(IMAGE) \
	--module $(PRODUCTION) $(foreach m,$(MODES),--mode $m=$(OUT)/driver-$m/$(KO)) --init $(PROGRAM) --runner $(INIT) --program $(BENCH) \
	--output $(OUT)/bench --size-tool "llvm-size$${LLVM\#1}" $(call given,DTS,dtso) $(call given,MEM,mem) \
	$(call given,CPU,cpu) $(call given,TIMEOUT,timeout) $(call given,PEER_KO,peer-ko) \
	$${PEER_DEV:+--peer-dev="$$PEER_DEV"} $${PEER_PARAMS:+--peer-params="$$PEER_PARAMS"} \
	$${APPEND:+--append="$$APPEND"}

# Where the tests find the kernel and what is built against it.
KERNEL_OF_TESTS = $(CURDIR)/$(OUT)
in_tests = $(1:$(OUT)/%=$(KERNEL_OF_TESTS)/%)
# The virtual environment includes the machine's Python packages, because libfdt is one. Of plugins
# pytest loads only those of tests/requirements.in.
PLUGINS := labgrid.pytestplugin,xdist.plugin
IN_TESTS = env --chdir=tests --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL --unset=LG_ENV \
	TEST_BOARD=$(BOARD) TEST_BUILD=$(CURDIR)/$(COMMON) TEST_KERNEL_BUILD=$(KERNEL_OF_TESTS) \
	TEST_KERNEL=$(call in_tests,$(IMAGE)) TEST_MODULE=$(call in_tests,$(MODULE)) \
	TEST_VERIFY=$(CURDIR)/$(PROGRAM) TEST_INIT=$(CURDIR)/$(INIT) \
	TEST_BOARDS="$(BOARD) $(if $(IS_WHOLE),$(BOARDS))" \
	TEST_STRESS=$(CURDIR)/$(STRESS) TEST_DEBUG_BUILD=$(if $(WITH_DEBUG_KERNEL),$(CURDIR)/$(OUT)-debug) \
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTEST_PLUGINS=$(PLUGINS) \
	$${LG_ENV:+LG_ENV="$$(realpath "$$LG_ENV")"} $(CURDIR)/$(COMMON)/venv/bin/python
# Configuration in directories above the tree has no effect.
PYTEST = $(IN_TESTS) -m pytest -c pytest.ini --rootdir=. --confcutdir=. $(if $(LG_ENV),test_board.py)
# The tools of the other boards, for programs that the tests build for them.
OTHER_TOOLS = $(if $(IS_WHOLE),+@for board in $(BOARDS); do $(MAKE) build/$$board/tools.env BOARD=$$board; done)
##
.PHONY: help run shell debug bench stress soak check test mutants farm lint unit module verify deb deb-test \
	image run-image flash defconfigs upstream upstream-check kernel setup doctor rust-analyzer clean distclean clean-room header new-driver
help: ## List targets and variables
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | awk -F'\t' '{ printf "make %-14s %s\n", $$1, $$2 }'
	@echo; sed -n 's/^## /  /p' Makefile

run: $(MODULE) $(PROGRAM) $(INIT) ## Build everything, boot QEMU and verify the driver; fails if the verdict is not PASS
	@$(WITH_QEMU); exec $(BOOT) $(if $(DEBUG),--timeout $${TIMEOUT:-900})

shell: $(MODULE) $(PROGRAM) $(INIT) ## Boot to a busybox shell with the driver loaded
	@$(SETUP) busybox $(COMMON)/shell
	@$(WITH_QEMU); exec $(BOOT) --overlay $(COMMON)/shell --run '/bin/sh -l' --interactive

debug: $(MODULE) $(PROGRAM) $(INIT) ## Start QEMU stopped, for gdb; prints how to attach
	@$(WITH_QEMU); exec $(BOOT) --gdb

bench: $(PRODUCTION) $(MODE_MODULES) $(PROGRAM) $(INIT) $(BENCH) ## Measure what a mapping costs: a table, and build/BOARD/bench/
	$(if $(IS_VIRT),,@echo "$(PROJECT): error: make bench counts instructions on one CPU, and QEMU's model of $(BOARD) always has more" >&2; exit 1)
	@$(MEASURE)

stress: $(MODULE) $(PROGRAM) $(INIT) $(STRESS) ## Stress the driver: misuse, races, then random operations
	@$(WITH_QEMU); APPEND="loglevel=5 $$APPEND"; exec $(BOOT) --smp $${SMP:-$(STRESS_SMP)} --dtso $${DTS:-$(STRESS_DTSO)} \
		--timeout $${TIMEOUT:-$(STRESS_TIMEOUT)} --overlay $(dir $(STRESS))/.. \
		--run "/bin/$(notdir $(STRESS)) $${SEED:+--seed $$SEED} --ops $$OPS --procs $$PROCS --cycles $$CYCLES$(foreach case,$(CASE), --case $(case))"

soak: $(MODULE) $(PROGRAM) $(INIT) ## Boot many kinds of machine, BOOTS= in all: the driver must pass on each
	$(if $(WITH_DEBUG_KERNEL),@$(MAKE) module DEBUG=1 SELFTEST=1)
	@$(SETUP) tests
	@export TEST_BOOTS=$$BOOTS; exec $(PYTEST) -m soak

# All tests run with the default board only; with another board, those that boot it. With LG_ENV= a real
# board is tested, and nothing else has to be built.
IS_WHOLE := $(if $(LG_ENV),,$(filter $(DEFAULT_BOARD),$(BOARD)))
# Packages are for a kernel of Debian's, whatever else is built.
DEB_KERNEL := $(or $(strip $(KERNEL)),debian)
# A test that uses the kernel by mistake finds none here, even if one has been built.
check: KERNEL_OF_TESTS := $(CURDIR)/build/no-kernel/in-make-check
check: $(TOOLS) $(PROGRAM) $(INIT) ## Run the tests that need no kernel, within two minutes: after each edit
	$(OTHER_TOOLS)
	@$(SETUP) tests
	@exec $(PYTEST) -m 'not kernel' $(TESTS)

test: $(MODULE) $(PROGRAM) $(INIT) $(if $(IS_WHOLE),$(PRODUCTION) $(MODE_MODULES) $(BENCH) $(STRESS)) ## Run all tests: lint, unit tests, bindings, boots
	$(OTHER_TOOLS)
	$(if $(IS_WHOLE),@$(MAKE) .debug-for-tests .boards-for-tests)
	@$(SETUP) tests
	@exec $(PYTEST) $(if $(IS_WHOLE)$(LG_ENV),,-m board) $(TESTS)

# At the same time, because parts of a kernel's build use one CPU only. All packages have been installed
# before, so that neither asks a question while the other shows its progress.
.PHONY: .debug-for-tests .boards-for-tests
.debug-for-tests:
	$(if $(WITH_DEBUG_KERNEL),@$(MAKE) module DEBUG=1 SELFTEST=1)
.boards-for-tests:
	@for board in $(BOARDS); do $(MAKE) module verify BOARD=$$board SELFTEST=1; done

mutants: $(MODULE) $(PROGRAM) $(INIT) $(STRESS) ## Build and boot every driver that is broken on purpose: each must be caught
	@$(SETUP) tests
	@export TEST_ALL_MUTANTS=1; exec $(PYTEST) test_mutants.py $(TESTS)

flash: ## Write the board's image to the SD card DEV: checks it, asks, writes, reads it back
	@exec $(PYTHON) board/common/flash.py --board $(BOARD) --device "$$DEV" $(call given,IMAGE_FILE,image) \
		$(if $(filter 1,$(YES)),--yes) $(if $(filter 1,$(FORCE_LOOP)),--force-loop)

farm: $(MODULE) $(PROGRAM) $(INIT) ## Start a board farm of QEMU on this machine, until Ctrl-C
	@$(SETUP) tests
	@$(WITH_QEMU); exec $(IN_TESTS) labgrid/farm.py

lint: $(TOOLS) ## Check format, lints, words, licences, shell scripts; builds a kernel for the driver's lints
	$(OTHER_TOOLS)
	@$(SETUP) tests
	@exec $(PYTEST) -m 'lint and not kernel'
	@$(MAKE) kernel
	@exec $(PYTEST) -m 'lint and kernel'

unit: $(TOOLS) ## Run the host unit tests of userspace/
	@$(SETUP) cargo test --locked

module: $(if $(MUTANT),$(MUTATED),$(if $(filter 1,$(SELFTEST)),$(TESTABLE),$(PRODUCTION))) ## Build the driver's module: build/BOARD/driver/

verify: $(PROGRAM) $(INIT) ## Build the guest's programs: build/BOARD/

deb: $(PROGRAM) ## Build packages for Debian: the module for its kernel, the sources for DKMS, the verifier
	@$(MAKE) module KERNEL=$(DEB_KERNEL)
	@KERNEL=$(DEB_KERNEL) $(SETUP) debs $(PROGRAM) $(COMMON)-$(DEB_KERNEL)/driver/$(KO) $(COMMON)/deb

deb-test: deb ## Install these in a Debian 13 root, boot it with Debian's kernel, verify, remove
	@$(SETUP) tests
	@export TEST_DEB=$(CURDIR)/$(COMMON)/deb TEST_DEB_KERNEL=$(DEB_KERNEL); exec $(PYTEST) -m deb -n 0 test_deb.py $(TESTS)

image: $(TOOLS) ## Build a whole system with Buildroot: build/BOARD/image/
	@$(SETUP) image

run-image: $(TOOLS) ## Boot that image in QEMU; fails if the verdict is not PASS
	@exec $(SETUP) run-image

header: $(TOOLS) ## Generate userspace/include/faultline.h from driver/uapi.rs
	@$(SETUP) header userspace/include/$(PROJECT).h

defconfigs: ## Generate buildroot/configs/ from its fragments and board.env
	@$(SETUP) defconfigs buildroot/configs

upstream: $(TOOLS) ## Write patches for the kernel, made from driver/: build/upstream/ (docs/upstream/README.md)
	@$(SETUP) upstream build/upstream

upstream-check: $(TOOLS) $(PROGRAM) $(INIT) ## Build a kernel with these patches, its lints and documentation, and boot it
	@$(SETUP) upstream build/upstream
	@$(SETUP) upstream-kernel build/upstream
	@$(SETUP) tests
	@export TEST_UPSTREAM=$(CURDIR)/build/upstream; exec $(PYTEST) test_upstream_kernel.py $(TESTS)

kernel: $(KERNEL_ENV) ## Build the kernel, unless it is in the cache

setup: $(KERNEL_ENV) ## Get the tools, build the kernel, prepare the tests; run nothing
	@$(SETUP) sysroot
	@$(SETUP) tests

doctor: ## Show which tools are found, their versions, and what is missing; changes nothing
	@$(SETUP) doctor

rust-analyzer: $(KERNEL_ENV) ## Write the files that editors need for driver/ and userspace/
	@$(SETUP) rust-analyzer

new-driver: $(TOOLS) ## Make a driver of your own in ../NAME, which builds, boots and tests itself
	@$(SETUP) new-driver

clean-room: ## Run make on a bare Debian machine with empty caches, as root or with sudo; see ROOM=
	@exec tests/clean-room $(ROOM)

clean: ## Delete build/
	rm -rf build

distclean: clean ## Delete build/ and the cache: kernels, downloads, tools
	@$(SETUP) distclean

# Set-up checks each time, and rewrites these files only when something has changed.
FORCE:
$(TOOLS): FORCE
	@mkdir -p $(@D) 2>/dev/null && [[ -w $(@D) ]] || { echo "$(PROJECT): error: $(CURDIR)/$(@D) cannot be \
	written to, and everything is built there. Copy the sources to a directory that you may write to" >&2; exit 1; }
	@$(SETUP) tools

$(KERNEL_ENV): $(TOOLS) FORCE
	@$(SETUP) kernel

DRIVER := $(wildcard driver/Kbuild $(foreach d,driver driver/* driver/*/*,$d/*.rs $d/*.[ch]))
$(PRODUCTION): $(KERNEL_ENV) $(DRIVER)
	@$(SETUP) module $(@D)
	@touch $@

$(TESTABLE): $(KERNEL_ENV) $(DRIVER)
	@$(SETUP) module $(@D) CONFIG_$(KCONFIG)_SELFTEST=y
	@touch $@

$(OUT)/driver-%/$(KO): $(KERNEL_ENV) $(DRIVER) tests/mutants/%.patch
	@$(SETUP) mutant $(@D) tests/mutants/$*.patch
	@touch $@

# Without section headers, which the kernel does not read: that saves 496 bytes, and with them INIT would
# have more than its 8192 bytes. Tools that need sections find them in RELEASE.
$(PROGRAM) $(INIT) $(BENCH) $(STRESS): $(TOOLS) FORCE
	@$(SETUP) cross build --locked --release --package $(@F)
	@mkdir -p $(@D)
	@. $(TOOLS); "llvm-objcopy$${LLVM#1}" --strip-sections $(RELEASE)/$(@F) $@.$$$$ && \
		if cmp --silent $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

.DEFAULT:
	@echo "make: there is no target '$@'; 'make help' lists them" >&2; exit 2
