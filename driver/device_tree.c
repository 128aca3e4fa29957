// SPDX-License-Identifier: GPL-2.0
/*
 * What questions about other nodes of the device tree need and no Rust binding reaches.
 * device_tree.h says what the functions do.
 */

#include <linux/device.h>
#include <linux/of.h>

#include "helpers.h"

bool faultline_has_twin(struct device *dev, const char *property, const char *value)
{
	struct device_node *other;

	for_each_node_with_property(other, property) {
		if (other != dev->of_node && of_device_is_available(other) &&
		    of_match_node(dev->driver->of_match_table, other) &&
		    of_property_match_string(other, property, value) == 0) {
			of_node_put(other);
			return true;
		}
	}
	return false;
}
