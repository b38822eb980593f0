// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What the recorder tells a service manager: sd_notify(3). Nothing is told, and nothing fails, when there is none
 * ($NOTIFY_SOCKET), or when ioledger was built without libsystemd.
 */
#include <stdbool.h>
#include <stdint.h>

struct iol_notify {
    uint64_t watchdog_ns; /* how often it wants to hear that the recorder lives; 0: never */
    uint64_t next_ns;     /* boot clock */
    uint64_t status_ns;   /* when a status was told last */
};

struct iol_notify iol_notify_begin(void);

void iol_notify_ready(void);
void iol_notify_reloading(void); /* until the next iol_notify_ready() */
void iol_notify_stopping(void);

/* Call it at least every half second. */
void iol_notify_alive(struct iol_notify *notify, uint64_t now_ns);

/* Whether a status would be told now: one a second at most. */
bool iol_notify_wants_status(const struct iol_notify *notify, uint64_t now_ns);
void iol_notify_status(struct iol_notify *notify, const char *status, uint64_t now_ns);
