// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What is acknowledged, on disk. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/spool.intern.h"

#define PLACES 2

int iol_spool_write_state(struct iol_spool *spool, bool sync)
{
    struct iol_spool_state state = {
        .magic = IOL_STATE_MAGIC, .turn = ++spool->turn, .acked = spool->acked, .reading = spool->reading};

    state.hash = IOL_SPOOL_HASH(&state);
    int r = iol_write_all(spool->state_fd, &state, sizeof(state), state.turn % PLACES * IOL_STATE_STRIDE);
    return r == 0 && sync && fdatasync(spool->state_fd) < 0 ? -errno : r;
}

static int create_state(struct iol_spool *spool)
{
    static const char empty[PLACES * IOL_STATE_STRIDE];

    spool->state_fd = openat(spool->dir_fd, "state", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r = spool->state_fd < 0 ? -errno : iol_write_all(spool->state_fd, empty, sizeof(empty), 0);
    if (r == 0)
        r = iol_spool_write_state(spool, true);
    return r == 0 && fsync(spool->dir_fd) < 0 ? -errno : r;
}

int iol_spool_read_state(struct iol_spool *spool)
{
    struct iol_spool_state state;
    bool found = false;

    spool->state_fd = openat(spool->dir_fd, "state", O_RDWR | O_CLOEXEC);
    if (spool->state_fd < 0)
        return errno == ENOENT ? create_state(spool) : -errno;
    for (int i = 0; i < PLACES; i++) {
        if (pread(spool->state_fd, &state, sizeof(state), (off_t)i * IOL_STATE_STRIDE) != (ssize_t)sizeof(state) ||
            state.magic != IOL_STATE_MAGIC || state.hash != IOL_SPOOL_HASH(&state) || state.turn < spool->turn)
            continue;
        found = true;
        spool->turn = state.turn;
        spool->acked = state.acked;
        spool->reading = state.reading;
    }
    return found ? 0 : 1;
}
