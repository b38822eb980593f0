// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Which container a cgroup is: container engines and systemd write it into the name of its folder. Known are docker,
 * containerd, cri-o and podman, with the cgroupfs and with the systemd driver (ID, docker-ID.scope,
 * cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, ...), of which ID is 64 hexadecimal digits, and the machines
 * of systemd (machine-NAME.scope, systemd-nspawn@NAME.service).
 */
#include <stdbool.h>
#include <stddef.h>

#define IOL_CONTAINER_ID_MAX 256 /* bytes with the NUL: a name in a folder is not longer */

/* The container that one component of a cgroup's path names; false: none, *ret_id is as it was. */
bool iol_container_of_name(const char *name, size_t length, char ret_id[IOL_CONTAINER_ID_MAX]);

/* The same of a whole path. Of containers in containers it is the innermost. */
bool iol_container_of_path(const char *path, char ret_id[IOL_CONTAINER_ID_MAX]);
