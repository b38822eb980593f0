// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/waiting.h"
#include "base/text.h"

#define PATIENCE_MS 60000

/* A command on a terminal that is at something for as long as it is let. */
struct command {
    pid_t pid;
    int terminal;
    char said[8192];
    size_t length;
};

static void start(struct command *command, unsigned short columns, void (*work)(void))
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};

    *command = (struct command){.terminal = -1};
    command->pid = forkpty(&command->terminal, NULL, NULL, &size);
    assert_true(command->pid >= 0);
    if (command->pid == 0) {
        work();
        _exit(7);
    }
}

/* True: the words have come. False: the terminal was closed before. */
static bool read_until(struct command *command, const char *words)
{
    struct pollfd ready = {.fd = command->terminal, .events = POLLIN};

    while (!strstr(command->said, words)) {
        ssize_t n;

        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        n = read(command->terminal, command->said + command->length, sizeof(command->said) - 1 - command->length);
        if (n <= 0)
            return false;
        command->length += (size_t)n;
        command->said[command->length] = '\0';
    }
    return true;
}

static int end(struct command *command)
{
    int status;

    read_until(command, "that it never says");
    assert_int_equal(waitpid(command->pid, &status, 0), command->pid);
    close(command->terminal);
    return status;
}

static bool ends_with_clearing(const struct command *command)
{
    return command->length >= 4 && strcmp(command->said + command->length - 4, "\r\033[K") == 0;
}

static void half_done(void *arg, struct iol_reached *ret_reached)
{
    (void)arg;
    *ret_reached = (struct iol_reached){.what = "storing what waits", .rows = 123456, .part = 0.5};
}

static void ask_until_killed(void)
{
    struct iol_waiting *waiting = iol_waiting_new_asking(half_done, NULL);

    while (waiting)
        pause();
}

static void add_up_until_typed(void)
{
    struct iol_waiting *waiting = iol_waiting_new();
    char byte;

    iol_waiting_step(waiting, "adding up what was read and written");
    iol_waiting_reached(waiting, 5000, 0.25);
    if (read(STDIN_FILENO, &byte, 1) == 1)
        iol_waiting_free(waiting);
}

static void it_tells_rate_and_what_is_left_until_ctrl_c(void **state)
{
    struct command command;
    int status;

    (void)state;
    start(&command, 80, ask_until_killed);
    assert_true(read_until(&command, " left"));
    assert_non_null(strstr(command.said, "ioledger: storing what waits ... 2 s, 123.5K rows, "));
    assert_non_null(strstr(command.said, "/s, 50 %, "));
    assert_int_equal(write(command.terminal, "\003", 1), 1);
    status = end(&command);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    assert_true(ends_with_clearing(&command));
}

static void its_line_fits_and_goes(void **state)
{
    struct command command;

    (void)state;
    start(&command, 40, add_up_until_typed);
    assert_true(read_until(&command, "adding u ... 2 s, 5.0K rows,"));
    assert_null(strstr(command.said, "left")); /* there are 39 columns for it */
    assert_int_equal(write(command.terminal, "\n", 1), 1);
    assert_int_equal(WEXITSTATUS(end(&command)), 7);
    assert_true(ends_with_clearing(&command));
}

static void numbers_go_before_words(void **state)
{
    struct command command;

    (void)state;
    start(&command, 80, add_up_until_typed);
    assert_true(read_until(&command, "ioledger: adding up what was "));
    assert_true(read_until(&command, "/s, 25 %, "));
    assert_true(read_until(&command, " left"));
    assert_int_equal(write(command.terminal, "\n", 1), 1);
    assert_int_equal(WEXITSTATUS(end(&command)), 7);
}

static void without_a_terminal_it_is_quiet(void **state)
{
    int before = dup(STDERR_FILENO), nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct iol_waiting *waiting;

    (void)state;
    assert_true(before >= 0 && dup2(nothing, STDERR_FILENO) >= 0);
    waiting = iol_waiting_new();
    dup2(before, STDERR_FILENO);
    close(before);
    close(nothing);
    assert_null(waiting);
    iol_waiting_step(waiting, "something");
    iol_waiting_reached(waiting, 1, 0.5);
    iol_waiting_clear(waiting);
    iol_waiting_free(waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_rate_and_what_is_left_until_ctrl_c),
        cmocka_unit_test(its_line_fits_and_goes),
        cmocka_unit_test(numbers_go_before_words),
        cmocka_unit_test(without_a_terminal_it_is_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
