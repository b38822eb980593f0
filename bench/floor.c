// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The floor: an empty program on the hook of system calls, until a signal comes. Says "attached" when it is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "empty.h"

int main(void)
{
    int program = load_empty_program();

    if (program < 0 || bpf_raw_tracepoint_open("sys_exit", program) < 0) {
        fprintf(stderr, "floor: cannot attach an empty program: %s\n", strerror(errno));
        return 1;
    }
    fprintf(stderr, "attached\n");
    pause();
    return 0;
}
