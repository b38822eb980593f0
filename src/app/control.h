// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * How a running recorder is asked: over a Unix socket of its own.
 *
 * The socket is /run/ioledger/record-PID.sock for root's recorders and $XDG_RUNTIME_DIR/ioledger/record-PID.sock for those
 * of others, in the $RUNTIME_DIRECTORY of a system service that has one, or what `record --control` says. It has mode 0600, its folder 0700; and whoever connects must be of the
 * recorder's user, or root (SO_PEERCRED). A name that is there always listens, or its recorder is dead: the socket gets
 * its name last of all. So whoever meets one that refuses to connect may remove it.
 *
 * One connection, one question: a line of JSON of at most IOL_CONTROL_REQUEST_MAX bytes; then one line of JSON back, and
 * the recorder hangs up. Both sides ignore members that they do not know, so that each can grow.
 *
 *   {"version": 1, "command": "status"}   at once: {"version": 1, "status": {...}}, see app/status.h
 *   {"version": 1, "command": "stop"}     ends the recording as SIGTERM does; when all is over, and not before:
 *                                         {"version": 1, "status": {...}, "unwritten_rows": N, "failure": TEXT or null}
 *   anything else                         {"version": 1, "error": TEXT}
 */
#include <stddef.h>

struct iol_error;

#define IOL_CONTROL_VERSION 1
#define IOL_CONTROL_REQUEST_MAX 1024 /* bytes, the newline included */
#define IOL_CONTROL_ANSWER_MAX (1 << 20)
#define IOL_CONTROL_PATH_MAX                                                                                           \
    104 /* with its NUL: sun_path has 108 bytes, of which the name under construction takes some */
#define IOL_CONTROL_PREFIX "record-"
#define IOL_CONTROL_SUFFIX ".sock"

/* The folder of this user's sockets. 0, or -errno with *err: there is no place for it. */
int iol_control_folder(char *buf, size_t size, struct iol_error *err);

/*
 * Connects: the socket, or -errno. -EAGAIN: too many do so, and that for as long (0: it does not wait for its turn);
 * -ECONNREFUSED: nobody listens any more; -ENAMETOOLONG.
 */
int iol_control_connect(const char *path, unsigned int patience_ms);
