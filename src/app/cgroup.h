// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Cgroups of this machine, by path and by container, as the capture side filters by them. Of v2, of every v1 hierarchy,
 * and of both beside each other: whatever is mounted here (/proc/self/mountinfo).
 */
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"

struct iol_error;

struct iol_cgroup_ids {
    uint64_t ids[IOL_CGROUP_FILTER_MAX]; /* hierarchy << IOL_CGROUP_HIERARCHY_SHIFT | inode of the folder */
    size_t n;
};

/*
 * Adds the cgroup: `path` is its folder (below /sys/fs/cgroup mostly), or what /proc/PID/cgroup shows, in all
 * hierarchies that have it. -ENOENT with *err when there is none.
 */
int iol_cgroup_add_path(struct iol_cgroup_ids *ids, const char *path, struct iol_error *err);

/*
 * Adds the cgroups of a container that runs: `id` is what core/container.h finds in their names, or its first 12 digits
 * at least. -ENOENT with *err when there is none, -ENOTUNIQ when these are the first digits of several.
 */
int iol_cgroup_add_container(struct iol_cgroup_ids *ids, const char *id, struct iol_error *err);
