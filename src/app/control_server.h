// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The recorder's end of the socket that app/control.h describes. Nothing here waits for a peer: what one sends too slowly, or
 * does not take, costs it its connection; numbers and sizes are bounded, and a flood is taken in small portions.
 * One thread at a time.
 */
#include <jansson.h>

struct iol_control;
struct iol_error;

struct iol_control_ops {
    json_t *(*status)(void *arg); /* a new object, or NULL: no memory */
    void (*stop)(void *arg);      /* the recording is to end; may come several times */
};

/*
 * Listens. `path` NULL: at the usual place, whose folder is made; dead recorders' sockets there are removed. On failure *err
 * says why.
 */
int iol_control_open(const char *path, const struct iol_control_ops *ops, void *arg, struct iol_control **ret_control,
                     struct iol_error *err);

/* Readable: call serve, which is also to be called a few times a second to get rid of who hangs. */
int iol_control_fd(const struct iol_control *control);
void iol_control_serve(struct iol_control *control);

/* Gives those who wait for the end of the recording their answer, to which members are added; takes some ms at most. Steals the object. */
void iol_control_end(struct iol_control *control, json_t *answer);

/* Removes the socket. Accepts NULL. */
void iol_control_close(struct iol_control *control);
