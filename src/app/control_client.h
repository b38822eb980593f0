// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Finding and asking running recorders, see app/control.h. What they answer is theirs: it may be anything. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "app/control.h"

struct iol_error;

#define IOL_CONTROL_RECORDERS_MAX 256

struct iol_recorder {
    int fd;    /* connected */
    pid_t pid; /* of who listens, by the kernel's word */
    char path[IOL_CONTROL_PATH_MAX];
};

struct iol_recorders {
    struct iol_recorder items[IOL_CONTROL_RECORDERS_MAX]; /* by pid */
    size_t n;
};

/*
 * Connects to this user's recorders: all of them, the one with that pid (0: any), or the one that listens on `path` (NULL: at
 * the usual place). The sockets of dead ones at the usual place are removed. 0, or -errno with *err: -ENOENT there is none.
 */
int iol_recorders_find(const char *path, pid_t pid, struct iol_recorders *ret_recorders, struct iol_error *err);
void iol_recorders_done(struct iol_recorders *recorders);

/* Asks: 0 or -errno with *err. The answer can be received once. */
int iol_recorder_send(const struct iol_recorder *recorder, const char *command, struct iol_error *err);

/*
 * Waits for the answer. 1: *ret_answer is a new object without an "error". 0: the time is up. -errno with *err: -EPIPE it has
 * hung up; -EACCES or -EPROTO it has not answered the question.
 */
int iol_recorder_receive(const struct iol_recorder *recorder, int timeout_ms, json_t **ret_answer,
                         struct iol_error *err);

/* Another connection to the same recorder, for another question: 0 or -errno with *err. */
int iol_recorder_reconnect(const struct iol_recorder *recorder, struct iol_recorder *ret_recorder,
                           struct iol_error *err);

/* Waits for the answer to "status": 0 and a new object, or -errno with *err; -ETIMEDOUT when it does not come. */
int iol_recorder_receive_status(const struct iol_recorder *recorder, int timeout_ms, json_t **ret_status,
                                struct iol_error *err);

/* A member of its status; NULL and 0 when it is not there, or of another type. */
const char *iol_status_text(const json_t *status, const char *key);
long long iol_status_int(const json_t *status, const char *key);
bool iol_status_has(const json_t *status, const char *key);
