// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

static const int ends[] = {SIGINT, SIGTERM, SIGHUP};

/* Set by the second Ctrl-C, when the database cannot be reached and somebody is tired of waiting. */
static volatile bool interrupted;

/* From kill(), not from a terminal that has gone: that ends a recording, as it ends any program. */
static bool asks_for_rules(int signum, int code)
{
    return signum == SIGHUP && code != SI_KERNEL;
}

static void on_signal(int signum, siginfo_t *info, void *context)
{
    (void)context;
    if (!asks_for_rules(signum, info->si_code))
        interrupted = true;
}

static volatile sig_atomic_t caught, n_caught;

static void catch (int signum)
{
    caught = signum;
    n_caught++;
}

static void fill(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(ends); i++)
        sigaddset(ret_set, ends[i]);
}

bool iol_signals_ignored(int signum)
{
    struct sigaction now;

    return sigaction(signum, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int iol_signals_block(struct iol_signals *ret_signals, struct iol_error *err)
{
    sigset_t set;
    int fd;

    fill(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return iol_error_set(err, -errno, "cannot watch for signals: %m");
    /* blocked signals come although they are ignored */
    *ret_signals = (struct iol_signals){.fd = fd, .hangup_ignored = iol_signals_ignored(SIGHUP)};
    return 0;
}

enum iol_wish iol_signals_next(const struct iol_signals *signals, int *ret_signum)
{
    struct signalfd_siginfo info;

    while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        *ret_signum = (int)info.ssi_signo;
        if (*ret_signum == SIGCHLD)
            return IOL_WISH_CHILD;
        if (asks_for_rules(*ret_signum, info.ssi_code))
            return IOL_WISH_RULES;
        if (*ret_signum != SIGHUP || !signals->hangup_ignored)
            return IOL_WISH_END;
    }
    return IOL_WISH_NONE;
}

const volatile bool *iol_signals_interrupt(const struct iol_signals *signals)
{
    const struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigset_t set;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(ends); i++) {
        if (ends[i] != SIGHUP || !signals->hangup_ignored)
            sigaction(ends[i], &action, NULL);
    }
    fill(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return &interrupted;
}

void iol_signals_catch(void)
{
    const struct sigaction action = {.sa_handler = catch};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(ends); i++) {
        if (ends[i] != SIGHUP || !iol_signals_ignored(SIGHUP))
            sigaction(ends[i], &action, NULL);
    }
}

int iol_signals_caught(void)
{
    return caught;
}

int iol_signals_count(void)
{
    return n_caught;
}

void iol_signals_done(struct iol_signals *signals)
{
    if (signals->fd >= 0)
        close(TAKE_FD(signals->fd));
}
