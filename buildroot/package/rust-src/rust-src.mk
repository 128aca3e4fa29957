################################################################################
#
# rust-src
#
################################################################################

# SPDX-License-Identifier: GPL-2.0-only

# The library sources of exactly the compiler that Buildroot has.
RUST_SRC_VERSION = $(RUST_BIN_VERSION)
RUST_SRC_SOURCE = rust-src-$(RUST_SRC_VERSION).tar.xz
RUST_SRC_SITE = https://static.rust-lang.org/dist
RUST_SRC_LICENSE = Apache-2.0 or MIT
RUST_SRC_LICENSE_FILES = LICENSE-APACHE LICENSE-MIT
HOST_RUST_SRC_DEPENDENCIES = host-rustc

# cargo and the kernel look for it in the compiler's sysroot.
define HOST_RUST_SRC_INSTALL_CMDS
	mkdir -p $(HOST_DIR)/lib/rustlib/src
	cp -a $(@D)/rust-src/lib/rustlib/src/rust $(HOST_DIR)/lib/rustlib/src/
endef

$(eval $(host-generic-package))
