// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/live/names.h"
#include "app/live/tail_line.h"
#include "core/batch.h"
#include "core/row.h"
#include "live_rows.h"

#define MS INT64_C(1000000)
#define T0 (INT64_C(1000000000) * 1700000000)

enum { SHELL = 1, FORKED, EVIL, PASSWD = 10, OTHER };

static struct iol_live_names *names;
static struct iol_batch *batch;

static int set_up(void **state)
{
    struct iol_process *process;

    (void)state;
    names = iol_live_names_new();
    batch = iol_batch_new();
    add_process(batch, SHELL, 40, "sh");
    process = add_process(batch, FORKED, 41, "sh");
    process->parent_id = SHELL;
    process->start_time = T0;
    process = add_process(batch, EVIL, 41, "ev\033[2Jil");
    process->parent_id = FORKED;
    process->origin = IOL_ORIGIN_EXEC;
    process->exec_time = T0 + MS;
    process->start_time = T0;
    process->exe = "/tmp/e\nvil";
    process->argv = "./evil --now \u202eabc";
    add_file(batch, PASSWD, "/etc/passwd");
    add_file(batch, OTHER, "/etc/\npasswd.old");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    iol_batch_free(batch);
    iol_live_names_free(names);
    return 0;
}

static const char *print(struct iol_tail_format format, int64_t most, int64_t want)
{
    static char text[8192];
    FILE *to = fmemopen(text, sizeof(text), "w");

    assert_int_equal(iol_live_names_take(names, batch), 0);
    format.names = names;
    assert_int_equal(iol_tail_lines(&format, batch, most, to), want);
    fclose(to);
    return text;
}

static void events_are_told_in_the_order_of_their_times(void **state)
{
    struct iol_event *event;

    (void)state;
    event = add_event(batch, T0 + 14 * MS, IOL_EVENT_EXIT, EVIL);
    event->result = -SIGKILL;
    add_event(batch, T0, IOL_EVENT_FORK, FORKED);
    add_event(batch, T0 + MS, IOL_EVENT_EXEC, EVIL);
    assert_string_equal(
        print((struct iol_tail_format){0}, 100, 3),
        "22:13:20.000  fork              41  sh               by sh (40)\n"
        "22:13:20.001  exec              41  ev\\e[2Jil        ./evil --now \\u{202e}abc [/tmp/e\\nvil]\n"
        "22:13:20.014  exit              41  ev\\e[2Jil        killed by signal 9 (Killed) after 14 ms\n");
    assert_string_equal(print((struct iol_tail_format){0}, 1, 1),
                        "22:13:20.000  fork              41  sh               by sh (40)\n");
}

static void files_of_events_are_told(void **state)
{
    struct iol_event *event;

    (void)state;
    event = add_event(batch, T0, IOL_EVENT_READ, SHELL);
    event->file_id = PASSWD;
    event->bytes = 2000;
    event->offset_bytes = 512;
    event->weight = 10;
    event = add_event(batch, T0 + 1, IOL_EVENT_RENAME, SHELL);
    event->file_id = PASSWD;
    event->other_file_id = OTHER;
    event = add_event(batch, T0 + 2, IOL_EVENT_EXEC_FAILED, SHELL);
    event->file_id = PASSWD;
    event->result = -EACCES;
    assert_string_equal(print((struct iol_tail_format){0}, 100, 3),
                        "22:13:20.000  read              40  sh               /etc/passwd  2.0 KB at 512 (one of 10)\n"
                        "22:13:20.000  rename            40  sh               /etc/passwd -> /etc/\\npasswd.old\n"
                        "22:13:20.000  exec_failed       40  sh               /etc/passwd: Permission denied\n");
}

static void add_accounts(void)
{
    struct iol_loss *loss = iol_batch_add(batch, IOL_TABLE_LOSS);

    *loss = (struct iol_loss){.ts_to = T0, .reason = "ring buffer full", .lost = 3};
    add_io(batch, SHELL, PASSWD, 100, 0)->read_errors = 2;
    add_io(batch, SHELL, OTHER, 10, 2048)->ts = T0;
}

static void accounts_and_losses_are_told(void **state)
{
    (void)state;
    add_accounts();
    assert_string_equal(
        print((struct iol_tail_format){.io = true}, 100, 3),
        "00:00:00.000  io                40  sh               /etc/passwd  read 100 B in 1, 2 errors\n"
        "22:13:20.000  io                40  sh               /etc/\\npasswd.old  read 10 B in 1  wrote 2.0 KB in 1\n"
        "22:13:20.000  loss               -  -                3 lost: ring buffer full\n");
    print((struct iol_tail_format){0}, 100, 1); /* losses always, accounts only when asked for */
}

static void a_line_is_cut_at_the_width_and_coloured(void **state)
{
    (void)state;
    add_event(batch, T0, IOL_EVENT_EXEC, EVIL);
    assert_string_equal(print((struct iol_tail_format){.width = 60, .colours = true}, 100, 1),
                        "\033[32m22:13:20.000  exec              41  ev\\e[2Jil        ./evil~\033[m\n");
}

static void json_has_it_exactly(void **state)
{
    struct iol_event *event;
    json_t *line;

    (void)state;
    event = add_event(batch, T0 + MS, IOL_EVENT_EXEC, EVIL);
    event->file_id = PASSWD;
    line = json_loads(print((struct iol_tail_format){.json = true}, 100, 1), 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "kind")), "exec");
    assert_string_equal(json_string_value(json_object_get(line, "comm")), "ev\033[2Jil");
    assert_string_equal(json_string_value(json_object_get(line, "argv")), "./evil --now \u202eabc");
    assert_string_equal(json_string_value(json_object_get(line, "exe")), "/tmp/e\nvil");
    assert_int_equal(json_integer_value(json_object_get(line, "pid")), 41);
    assert_int_equal(json_integer_value(json_object_get(line, "parent_pid")), 40);
    assert_null(json_object_get(line, "bytes"));
    json_decref(line);
}

static void json_is_one_line_each_and_nothing_raw(void **state)
{
    const char *text, *at;
    size_t lines = 0;

    (void)state;
    add_accounts();
    add_event(batch, T0, IOL_EVENT_EXEC, EVIL);
    text = print((struct iol_tail_format){.json = true, .io = true, .terminal = true}, 100, 4);
    for (at = text; *at; at++) {
        lines += *at == '\n';
        assert_true(*at == '\n' || (*at >= ' ' && *at < 0x7f));
    }
    assert_int_equal(lines, 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_are_told_in_the_order_of_their_times),
        TEST(files_of_events_are_told),
        TEST(accounts_and_losses_are_told),
        TEST(a_line_is_cut_at_the_width_and_coloured),
        TEST(json_has_it_exactly),
        TEST(json_is_one_line_each_and_nothing_raw),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
