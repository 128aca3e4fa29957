################################################################################
#
# faultline-verify
#
################################################################################

# SPDX-License-Identifier: GPL-2.0-only

FAULTLINE_VERIFY_VERSION = local
FAULTLINE_VERIFY_SITE = $(realpath $(BR2_EXTERNAL_FAULTLINE_PATH)/..)
FAULTLINE_VERIFY_SITE_METHOD = local
FAULTLINE_VERIFY_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--include=/userspace/*** --include=/driver --include=/driver/uapi.rs \
	--include=/driver/selftest --include=/driver/selftest/uapi.rs \
	--include=/LICENSES/*** --exclude=*
FAULTLINE_VERIFY_LICENSE = GPL-2.0, MIT (crates and core)
FAULTLINE_VERIFY_LICENSE_FILES = LICENSES/GPL-2.0-only.txt
FAULTLINE_VERIFY_DEPENDENCIES = $(FAULTLINE_RUST_DEPENDENCIES)

FAULTLINE_VERIFY_TARGET = $(call qstrip,$(FAULTLINE_RUST_TARGET))
FAULTLINE_VERIFY_TARGET_VARIABLE = $(subst -,_,$(call UPPERCASE,$(FAULTLINE_VERIFY_TARGET)))
FAULTLINE_VERIFY_SYSROOT = $(@D)/sysroot

# Buildroot's infrastructure for cargo would set its own linker and profile; this program has both
# in userspace/.cargo/config.toml and Cargo.toml.
FAULTLINE_VERIFY_ENV = \
	PATH=$(FAULTLINE_RUST_BIN):$(BR_PATH) \
	CARGO_HOME=$(BR_CARGO_HOME) \
	CARGO_TARGET_DIR=$(@D)/target \
	$(if $(FAULTLINE_LLD),CARGO_TARGET_$(FAULTLINE_VERIFY_TARGET_VARIABLE)_LINKER=$(FAULTLINE_LLD)) \
	CARGO_TARGET_$(FAULTLINE_VERIFY_TARGET_VARIABLE)_RUSTFLAGS=--sysroot=$(FAULTLINE_VERIFY_SYSROOT)

# The crates of both Cargo.lock files, which have their checksums: those of the program, and those
# that cargo needs before it builds the core library. They are kept among the downloads, and fetched
# only once. RUSTC_BOOTSTRAP: only a nightly cargo accepts the library's manifest otherwise.
define FAULTLINE_VERIFY_FETCH
	mkdir -p $(BR_CARGO_HOME)
	export PATH=$(FAULTLINE_RUST_BIN):$(BR_PATH) CARGO_HOME=$(BR_CARGO_HOME) RUSTC_BOOTSTRAP=1; \
	for directory in $(FAULTLINE_TOP)/userspace $(FAULTLINE_RUST_SRC); do \
		fetch="flock $(BR_CARGO_HOME)/.br-lock cargo fetch --locked --manifest-path $$directory/Cargo.toml"; \
		$$fetch --offline 2>/dev/null || $$fetch || exit 1; \
	done
endef

# For `make source` as well.
.PHONY: faultline-verify-crates
faultline-verify-crates: $(FAULTLINE_RUST_DEPENDENCIES)
	$(FAULTLINE_VERIFY_FETCH)
faultline-verify-all-source: faultline-verify-crates

define FAULTLINE_VERIFY_CONFIGURE_CMDS
	$(FAULTLINE_VERIFY_FETCH)
	$(FAULTLINE_VERIFY_ENV) CARGO_NET_OFFLINE=true $(FAULTLINE_TOP)/board/common/build-core \
		$(FAULTLINE_VERIFY_TARGET) $(FAULTLINE_RUST_SRC) $(FAULTLINE_VERIFY_SYSROOT)
endef

define FAULTLINE_VERIFY_BUILD_CMDS
	cd $(@D)/userspace && $(FAULTLINE_VERIFY_ENV) cargo build --offline --locked --release \
		--target $(FAULTLINE_VERIFY_TARGET) --package faultline-verify
endef

define FAULTLINE_VERIFY_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/$(FAULTLINE_VERIFY_TARGET)/release/faultline-verify \
		$(TARGET_DIR)/usr/bin/faultline-verify
endef

define FAULTLINE_VERIFY_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(FAULTLINE_VERIFY_PKGDIR)/S90faultline-verify \
		$(TARGET_DIR)/etc/init.d/S90faultline-verify
endef

# The program contains its crates, so that their sources, with their notices, go with its own.
define FAULTLINE_VERIFY_LEGAL_INFO_CRATES
	$(FAULTLINE_VERIFY_FETCH)
	$(FAULTLINE_VERIFY_ENV) cargo vendor --quiet --offline --locked --versioned-dirs \
		--manifest-path $(FAULTLINE_TOP)/userspace/Cargo.toml \
		$(FAULTLINE_VERIFY_REDIST_SOURCES_DIR)/crates >/dev/null
endef
FAULTLINE_VERIFY_POST_LEGAL_INFO_HOOKS += FAULTLINE_VERIFY_LEGAL_INFO_CRATES

$(eval $(generic-package))

# legal-info keeps the sources that are copied for the build, and not build/, which may contain
# Buildroot's own output.
faultline-verify-legal-info: private RSYNC_VCS_EXCLUSIONS = $(FAULTLINE_VERIFY_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)
