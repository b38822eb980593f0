// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef IOL_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/clock.h"

#define STATUS_NS 1000000000ULL

#ifdef IOL_HAVE_SYSTEMD
static void tell(const char *state)
{
    sd_notify(0, state);
}

struct iol_notify iol_notify_begin(void)
{
    uint64_t usec = 0;

    if (sd_watchdog_enabled(0, &usec) <= 0)
        usec = 0;
    /* systemd counts from the last word: three of them in its time */
    return (struct iol_notify){.watchdog_ns = usec * 1000 / 3};
}
#else
static void tell(const char *state)
{
    (void)state;
}

struct iol_notify iol_notify_begin(void)
{
    return (struct iol_notify){0};
}
#endif

void iol_notify_ready(void)
{
    tell("READY=1");
}

void iol_notify_reloading(void)
{
    char *state;

    if (asprintf(&state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, iol_monotonic_ns() / 1000) < 0)
        return;
    tell(state);
    free(state);
}

void iol_notify_stopping(void)
{
    tell("STOPPING=1");
}

void iol_notify_alive(struct iol_notify *notify, uint64_t now_ns)
{
    if (!notify->watchdog_ns || now_ns < notify->next_ns)
        return;
    tell("WATCHDOG=1");
    notify->next_ns = now_ns + notify->watchdog_ns;
}

bool iol_notify_wants_status(const struct iol_notify *notify, uint64_t now_ns)
{
    return getenv("NOTIFY_SOCKET") && now_ns >= notify->status_ns + STATUS_NS;
}

void iol_notify_status(struct iol_notify *notify, const char *status, uint64_t now_ns)
{
    char *state;

    notify->status_ns = now_ns;
    if (asprintf(&state, "STATUS=%s", status) < 0)
        return;
    tell(state);
    free(state);
}
