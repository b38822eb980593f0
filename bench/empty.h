/* SPDX-License-Identifier: BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* A BPF program that does nothing, for raw tracepoints: what the hook itself costs. Its descriptor, or -1 with errno. */
int load_empty_program(void);
