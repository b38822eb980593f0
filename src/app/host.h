// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdint.h>

struct iol_error;

/* This machine, as its rows name it. */
struct iol_this_host {
    int64_t id; /* hash of machine_id and name: the same over boots */
    char name[256];
    char machine_id[64]; /* /etc/machine-id; empty where there is none */
    char boot_id[64];
    char kernel[256];
};

int iol_host_read(struct iol_this_host *ret_host, struct iol_error *err);

/*
 * Wall clock minus boot clock, in nanoseconds; the boot clock of the host, whatever time namespace this is. It is the same until somebody
 * sets the clock, so that what happened once is always told with the same time.
 */
int64_t iol_host_boot_offset(void);
