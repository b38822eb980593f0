// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What goes to stderr between begin() and end(). */
static struct {
    FILE *file;
    int stderr_fd;
} capture;

static int begin(void **state)
{
    (void)state;
    capture.file = tmpfile();
    capture.stderr_fd = dup(STDERR_FILENO);
    if (!capture.file || capture.stderr_fd < 0)
        return -1;
    return dup2(fileno(capture.file), STDERR_FILENO) < 0 ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    iol_log_set_level(IOL_LOG_INFO);
    dup2(capture.stderr_fd, STDERR_FILENO);
    close(capture.stderr_fd);
    return fclose(capture.file);
}

static void assert_logged(const char *want)
{
    static char got[20000];
    ssize_t n = pread(fileno(capture.file), got, sizeof(got) - 1, 0);
    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, want);
    assert_int_equal(ftruncate(fileno(capture.file), 0), 0);
    assert_int_equal(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
}

static void a_message_is_one_line_with_the_programs_name(void **state)
{
    (void)state;
    iol_log_error("cannot open %s: %s", "x.db", "No such file or directory");
    assert_logged("ioledger: cannot open x.db: No such file or directory\n");
    iol_log_warning("%s", "");
    assert_logged("ioledger: \n");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    iol_log_info("file %s", "a\nioledger: all is well\x1b[2J\u202e\xff");
    assert_logged("ioledger: file a\\nioledger: all is well\\e[2J\\u{202e}\\xff\n");
}

static void long_messages_are_whole(void **state)
{
    (void)state;
    char text[9001], want[9100];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    snprintf(want, sizeof(want), "ioledger: %s\n", text);
    iol_log_info("%s", text);
    assert_logged(want);
}

static void the_level_decides(void **state)
{
    (void)state;
    assert_int_equal(iol_log_get_level(), IOL_LOG_INFO);
    iol_log_debug("unheard");
    iol_log_info("i");
    assert_logged("ioledger: i\n");

    iol_log_set_level(IOL_LOG_WARNING);
    assert_int_equal(iol_log_get_level(), IOL_LOG_WARNING);
    iol_log_info("unheard");
    iol_log_warning("w");
    iol_log_error("e");
    assert_logged("ioledger: w\nioledger: e\n");

    iol_log_set_level(IOL_LOG_DEBUG);
    iol_log_debug("d");
    assert_logged("ioledger: d\n");
}

static void errno_stays_what_it_was(void **state)
{
    (void)state;
    errno = ENOSPC;
    iol_log_error("%m");
    assert_int_equal(errno, ENOSPC);
    assert_logged("ioledger: No space left on device\n");
}

int main(void)
{
#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        CAPTURED(a_message_is_one_line_with_the_programs_name),
        CAPTURED(control_characters_do_not_reach_the_terminal),
        CAPTURED(long_messages_are_whole),
        CAPTURED(the_level_decides),
        CAPTURED(errno_stays_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
