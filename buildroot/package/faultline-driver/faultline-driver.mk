################################################################################
#
# faultline-driver
#
################################################################################

# SPDX-License-Identifier: GPL-2.0-only

FAULTLINE_DRIVER_VERSION = local
FAULTLINE_DRIVER_SITE = $(realpath $(BR2_EXTERNAL_FAULTLINE_PATH)/..)
FAULTLINE_DRIVER_SITE_METHOD = local
FAULTLINE_DRIVER_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--include=/driver/*** --include=/LICENSES/*** --exclude=/*
FAULTLINE_DRIVER_LICENSE = GPL-2.0, GPL-2.0 WITH Linux-syscall-note (UAPI)
FAULTLINE_DRIVER_LICENSE_FILES = LICENSES/GPL-2.0-only.txt LICENSES/Linux-syscall-note.txt
FAULTLINE_DRIVER_MODULE_SUBDIRS = driver
FAULTLINE_DRIVER_MODULE_MAKE_OPTS = CONFIG_FAULTLINE=m \
	$(if $(BR2_PACKAGE_FAULTLINE_DRIVER_SELFTEST),CONFIG_FAULTLINE_SELFTEST=y)

define FAULTLINE_DRIVER_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_RUST)
endef

# Users of this group may open the devices without being root.
define FAULTLINE_DRIVER_USERS
	- - faultline -1 - - - - Users of /dev/faultline*
endef

# mdev reads one file, which busybox owns; the first line that matches applies.
define FAULTLINE_DRIVER_MDEV
	$(SED) '/^faultline/d' $(TARGET_DIR)/etc/mdev.conf
	echo 'faultline[0-9]+ root:faultline 660 */usr/libexec/faultline-links' >> $(TARGET_DIR)/etc/mdev.conf
	$(INSTALL) -D -m 0755 $(FAULTLINE_DRIVER_PKGDIR)/faultline-links \
		$(TARGET_DIR)/usr/libexec/faultline-links
endef
ifeq ($(BR2_ROOTFS_DEVICE_CREATION_DYNAMIC_MDEV),y)
FAULTLINE_DRIVER_TARGET_FINALIZE_HOOKS += FAULTLINE_DRIVER_MDEV
endif

ifeq ($(BR2_PACKAGE_HAS_UDEV),y)
define FAULTLINE_DRIVER_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0644 $(FAULTLINE_DRIVER_PKGDIR)/70-faultline.rules \
		$(TARGET_DIR)/usr/lib/udev/rules.d/70-faultline.rules
endef
endif

$(eval $(kernel-module))
$(eval $(generic-package))

# legal-info keeps the sources that are copied for the build, and not build/, which may contain
# Buildroot's own output.
faultline-driver-legal-info: private RSYNC_VCS_EXCLUSIONS = $(FAULTLINE_DRIVER_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)
