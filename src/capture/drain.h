// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

struct iol_capture;

/* Reads both clocks for the first time and tells the programs who the recorder is. 0 or -errno. */
int iol_capture_start_clock(struct iol_capture *capture);

/* Ends what an earlier recorder may have been interrupted in: the end of an epoch. 0 or -errno. */
int iol_capture_recover(struct iol_capture *capture);

/*
 * Returns when every program that was running on any CPU has ended. The kernel waits so
 * (synchronize_rcu) for whoever updates a map of maps: maybe_wait_bpf_programs() of
 * kernel/bpf/syscall.c, since 5.0. membarrier(2) would do it as well, but not on nohz_full machines.
 */
void iol_capture_grace_period(struct iol_capture *capture);
