// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "core/loss.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
    const char *reason;
    enum iol_loss_kind kind;
} losses[] = {
    [IOL_LOST_ACCOUNTS_FULL] = {"no free account: operations posted to (other files)", IOL_LOSS_DETAIL},
    [IOL_LOST_FILE_RECORDS] = {"ring buffer full: operations posted to (other files)", IOL_LOSS_DETAIL},
    [IOL_LOST_SCRATCH] = {"path buffers busy: operations posted to (other files)", IOL_LOSS_DETAIL},
    [IOL_LOST_PROCESS_RECORDS] = {"ring buffer full: process records sent late", IOL_LOSS_DETAIL},
    [IOL_LOST_EVENTS] = {"ring buffer full: exits and failed execs missing", IOL_LOSS_DETAIL},
    [IOL_LOST_TASKS_FULL] = {"process table full: processes told of late", IOL_LOSS_DETAIL},
    [IOL_LOST_OVER_BUDGET] = {"event budget used up: events of reads and writes left out", IOL_LOSS_DETAIL},
    [IOL_LOST_RING_EVENTS] = {"ring buffer full: events of reads and writes left out", IOL_LOSS_DETAIL},
    [IOL_LOST_URING_BYTES] = {"io_uring requests without completion: bytes unknown", IOL_LOSS_BYTES},
    [IOL_LOST_URING_COMPLETIONS] = {"io_uring completion queue full: requests not recognised, operations not counted",
                                    IOL_LOSS_CALLS},
    [IOL_LOST_AIO_BYTES] = {"AIO completions read by the program itself: bytes unknown", IOL_LOSS_BYTES},
    [IOL_LOST_AIO_OPERATIONS] = {"AIO requests beyond the first 1024 of a call: operations not counted",
                                 IOL_LOSS_CALLS},
    [IOL_LOST_RENAMED] = {"renamed while the path was read: operations posted to (other files)", IOL_LOSS_DETAIL},
    [IOL_LOST_LEFT_OUT] = {"hooks left out by the kernel: calls not counted", IOL_LOSS_CALLS},
    [IOL_LOST_PROCESSES_LEFT_OUT] = {"hooks left out by the kernel: forks, execs and exits missing", IOL_LOSS_DETAIL},
    [IOL_LOST_TASKS_UNJUDGED] = {"process table full: processes that a filter may have chosen not counted",
                                 IOL_LOSS_CALLS},
};

static_assert(IOL_ARRAY_SIZE(losses) == IOL_LOST_COUNT, "a text for each reason");

const char *iol_lost_reason(enum iol_lost lost)
{
    return losses[lost].reason;
}

enum iol_loss_kind iol_lost_kind(enum iol_lost lost)
{
    return losses[lost].kind;
}

const char *iol_loss_words(enum iol_loss_kind kind)
{
    static const char *const words[] = {
        [IOL_LOSS_DETAIL] = "lost detail, not bytes",
        [IOL_LOSS_BYTES] = "has calls without their bytes",
        [IOL_LOSS_CALLS] = "lacks calls, and their bytes",
        [IOL_LOSS_ROUTE] = "lacks all that went this way",
    };

    return words[kind];
}

enum iol_loss_kind iol_loss_kind_of(const char *reason)
{
    if (strncmp(reason, IOL_LOSS_ROUTE_REASON, strlen(IOL_LOSS_ROUTE_REASON)) == 0)
        return IOL_LOSS_ROUTE;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(losses); i++) {
        if (strcmp(reason, losses[i].reason) == 0)
            return losses[i].kind;
    }
    return IOL_LOSS_DETAIL; /* with the name of a process behind it, or a merged interval */
}
