################################################################################
#
# linux-ext-faultline
#
################################################################################

# SPDX-License-Identifier: GPL-2.0-only
#
# Rust for the kernel, which Buildroot lacks. Buildroot includes linux/linux-ext-*.mk of external
# trees while it defines its package linux, early enough for dependencies; packages of kernel
# modules use the same LINUX_MAKE_FLAGS.

ifeq ($(BR2_PACKAGE_FAULTLINE_DRIVER),y)

FAULTLINE_TOP = $(realpath $(BR2_EXTERNAL_FAULTLINE_PATH)/..)

ifeq ($(FAULTLINE_HOST_RUST),y)
# The compiler itself, not rustup's proxy in PATH, which selects a toolchain in each directory.
FAULTLINE_RUST_SYSROOT := $(shell $(FAULTLINE_HOST_RUSTC) --print sysroot)
ifeq ($(BR_BUILDING)$(FAULTLINE_RUST_SYSROOT),y)
$(error FAULTLINE_HOST_RUST: $(FAULTLINE_HOST_RUSTC) does not run)
endif
FAULTLINE_RUST_BIN = $(FAULTLINE_RUST_SYSROOT)/bin
FAULTLINE_RUST_SRC = $(or $(call qstrip,$(FAULTLINE_HOST_RUST_SRC)),$(FAULTLINE_RUST_SYSROOT)/lib/rustlib/src/rust/library)
FAULTLINE_BINDGEN = $(call qstrip,$(FAULTLINE_HOST_BINDGEN))
FAULTLINE_LIBCLANG = $(call qstrip,$(FAULTLINE_HOST_LIBCLANG))
FAULTLINE_LLD = $(call qstrip,$(FAULTLINE_HOST_LLD))
else
FAULTLINE_RUST_DEPENDENCIES += host-rustc host-rust-src
FAULTLINE_KERNEL_RUST_DEPENDENCIES += $(FAULTLINE_RUST_DEPENDENCIES) host-rust-bindgen
FAULTLINE_RUST_BIN = $(HOST_DIR)/bin
FAULTLINE_RUST_SRC = $(HOST_DIR)/lib/rustlib/src/rust/library
FAULTLINE_BINDGEN = $(HOST_DIR)/bin/bindgen
FAULTLINE_LIBCLANG = $(HOST_DIR)/lib
endif

# Kconfig runs all of them to check their versions, so that they are needed before the configuration.
# check-package TypoInPackageVariable
LINUX_KCONFIG_DEPENDENCIES += $(FAULTLINE_KERNEL_RUST_DEPENDENCIES)
# check-package TypoInPackageVariable
LINUX_MAKE_ENV += $(if $(FAULTLINE_LIBCLANG),LIBCLANG_PATH=$(FAULTLINE_LIBCLANG))

# HOSTCC: rustc uses it as its linker's name, which cannot have flags in it.
# check-package TypoInPackageVariable
LINUX_MAKE_FLAGS += \
	HOSTCC="$(HOSTCC_NOCCACHE)" \
	HOSTCFLAGS="$(subst -I/,-isystem /,$(subst -I /,-isystem /,$(HOST_CFLAGS)))" \
	HOSTLDFLAGS="$(HOST_LDFLAGS)" \
	RUSTC=$(FAULTLINE_RUST_BIN)/rustc \
	HOSTRUSTC=$(FAULTLINE_RUST_BIN)/rustc \
	RUST_LIB_SRC=$(FAULTLINE_RUST_SRC) \
	BINDGEN=$(FAULTLINE_BINDGEN)

# The fragments are applied over allnoconfig, as in `make run`; Buildroot by itself would apply them
# over a defconfig. external.mk has the rule for the file.
FAULTLINE_LINUX_LINES = $(LINUX_DIR)/.faultline-lines
ifeq ($(LINUX_KCONFIG_DEFCONFIG),allno_defconfig)
# check-package TypoInPackageVariable
LINUX_KCONFIG_DEFCONFIG = KCONFIG_ALLCONFIG=$(FAULTLINE_LINUX_LINES) allnoconfig
endif

# Kconfig drops CONFIG_RUST=y without a message if it does not accept one of the tools.
define FAULTLINE_CHECK_LINUX_CONFIG
	$(foreach fragment,$(LINUX_KCONFIG_FRAGMENT_FILES), \
		$(FAULTLINE_TOP)/board/common/check-config $(fragment) $(@D)/.config
	)
	$(Q)grep -qx CONFIG_RUST=y $(@D)/.config || { \
		echo "CONFIG_RUST is off: 'make -C $(@D) rustavailable' says why" >&2; exit 1; }
endef
# check-package TypoInPackageVariable
LINUX_PRE_CONFIGURE_HOOKS += FAULTLINE_CHECK_LINUX_CONFIG

endif
