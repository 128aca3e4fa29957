# SPDX-License-Identifier: GPL-2.0-only

include $(sort $(wildcard $(BR2_EXTERNAL_FAULTLINE_PATH)/package/*/*.mk))

ifeq ($(BR2_PACKAGE_FAULTLINE_DRIVER),y)
# The fragments in one file, because Kconfig accepts only one (linux/linux-ext-faultline.mk).
$(FAULTLINE_LINUX_LINES): $(LINUX_KCONFIG_FRAGMENT_FILES) | linux-patch
	cat $^ > $@

$(LINUX_DIR)/$(LINUX_KCONFIG_STAMP_DOTCONFIG): $(FAULTLINE_LINUX_LINES)
endif
