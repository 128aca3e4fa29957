/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions of device_tree.c, for nodes other than a device's own (ext/device_tree.rs).
 */

#ifndef FAULTLINE_DEVICE_TREE_H
#define FAULTLINE_DEVICE_TREE_H

/*
 * Whether an enabled node, other than that of @dev, and that the driver of @dev takes, has the string
 * @value as its @property.
 */
bool faultline_has_twin(struct device *dev, const char *property, const char *value);

#endif
