// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/live/names.h"
#include "app/live/pairs.h"
#include "app/live/view.h"
#include "core/batch.h"
#include "core/row.h"
#include "live_rows.h"

#define S 1000000000ULL

enum { SSHD = 100, MAKE, CC_FORK, CC, CP };
enum { STDIO_H = 200, STRING_H, PASSWD, OUT_O, PIPES };

struct world {
    struct iol_live_names *names;
    struct iol_live_pairs *pairs;
    struct iol_view *view;
    struct iol_batch *batch; /* of the next interval */
    uint64_t now;
};

static void end_interval(struct world *world)
{
    assert_int_equal(iol_live_names_take(world->names, world->batch), 0);
    assert_int_equal(iol_live_pairs_take(world->pairs, world->batch, world->now, (int64_t)world->now, S), 0);
    iol_batch_free(world->batch);
    world->batch = iol_batch_new();
    world->now += S;
}

static void add_names(struct world *world)
{
    struct iol_process *process;

    add_process(world->batch, SSHD, 10, "sshd");
    process = add_process(world->batch, MAKE, 11, "make");
    process->parent_id = SSHD;
    process = add_process(world->batch, CC_FORK, 12, "make");
    process->parent_id = MAKE;
    process = add_process(world->batch, CC, 12, "cc1");
    process->parent_id = CC_FORK;
    process->origin = IOL_ORIGIN_EXEC;
    process->exec_time = 5;
    process->argv = "cc1 -o out.o";
    process = add_process(world->batch, CP, 13, "cp");
    process->container_id = "0123456789abcdef";
    add_file(world->batch, STDIO_H, "/usr/include/stdio.h");
    add_file(world->batch, STRING_H, "/usr/include/string.h");
    add_file(world->batch, PASSWD, "/etc/passwd");
    add_file(world->batch, OUT_O, "/usr/src/a/out.o");
    add_file(world->batch, PIPES, "(pipes)");
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    world->names = iol_live_names_new();
    world->pairs = iol_live_pairs_new(world->names);
    world->view = iol_view_new(world->names, world->pairs);
    world->batch = iol_batch_new();
    world->now = 1000 * S;
    add_names(world);
    add_io(world->batch, CC, STDIO_H, 1000, 0);
    add_io(world->batch, CC, STRING_H, 300, 0);
    add_io(world->batch, CC, OUT_O, 0, 500);
    add_io(world->batch, MAKE, STDIO_H, 10, 0)->read_errors = 7;
    add_io(world->batch, CP, PASSWD, 600, 0);
    add_io(world->batch, CP, PIPES, 0, 600);
    end_interval(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    iol_batch_free(world->batch);
    iol_view_free(world->view);
    iol_live_pairs_free(world->pairs);
    iol_live_names_free(world->names);
    free(world);
    return 0;
}

/* "cc1:/usr/include/stdio.h=1000+0 ..." in their order. */
static const char *rows(const struct world *world, size_t first, size_t n)
{
    static char text[2048];
    size_t count, used = 0;
    const struct iol_view_row *row;

    assert_int_equal(iol_view_make(world->view, first, n), 0);
    row = iol_view_rows(world->view, &count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s%s%s%s=%" PRIu64 "+%" PRIu64, i ? " " : "",
                                 row[i].process ? row[i].process->comm : "", row[i].process && row[i].file ? ":" : "",
                                 row[i].file ? row[i].file->path : "", row[i].directory ? row[i].directory : "",
                                 row[i].container ? (row[i].container->id[0] ? row[i].container->id : "none") : "",
                                 row[i].counts.read_bytes, row[i].counts.write_bytes);
    return text;
}

static const struct iol_view_row *row_at(const struct world *world, size_t index)
{
    size_t n;
    const struct iol_view_row *row;

    assert_int_equal(iol_view_make(world->view, 0, 100), 0);
    row = iol_view_rows(world->view, &n);
    assert_true(index < n);
    return &row[index];
}

static void pairs_stand_by_bytes(void **state)
{
    struct world *world = *state;
    struct iol_live_counts sum;

    assert_string_equal(rows(world, 0, 100), "cc1:/usr/include/stdio.h=1000+0 cp:/etc/passwd=600+0 cp:(pipes)=0+600 "
                                             "cc1:/usr/src/a/out.o=0+500 cc1:/usr/include/string.h=300+0 "
                                             "make:/usr/include/stdio.h=10+0");
    assert_int_equal(iol_view_count(world->view), 6);
    sum = iol_view_sum(world->view);
    assert_int_equal(sum.read_bytes, 1910);
    assert_int_equal(sum.write_bytes, 1100);
    assert_int_equal(sum.errors, 7);
    assert_string_equal(rows(world, 1, 2), "cp:/etc/passwd=600+0 cp:(pipes)=0+600");
    assert_string_equal(rows(world, 5, 10), "make:/usr/include/stdio.h=10+0");
    assert_string_equal(rows(world, 6, 10), "");
}

static void each_sort_key_sorts(void **state)
{
    struct world *world = *state;

    iol_view_set_sort(world->view, IOL_SORT_WRITTEN);
    assert_string_equal(rows(world, 0, 2), "cp:(pipes)=0+600 cc1:/usr/src/a/out.o=0+500");
    iol_view_set_sort(world->view, IOL_SORT_READ);
    assert_string_equal(rows(world, 0, 2), "cc1:/usr/include/stdio.h=1000+0 cp:/etc/passwd=600+0");
    iol_view_set_sort(world->view, IOL_SORT_ERRORS);
    assert_string_equal(rows(world, 0, 1), "make:/usr/include/stdio.h=10+0");
    add_io(world->batch, CC, STRING_H, 1, 1)->read_ops = 90;
    end_interval(world);
    iol_view_set_sort(world->view, IOL_SORT_OPS);
    assert_string_equal(rows(world, 0, 1), "cc1:/usr/include/string.h=1+1");
}

static void groups_are_sums(void **state)
{
    struct world *world = *state;

    iol_view_set_group(world->view, IOL_GROUP_PROCESS);
    assert_string_equal(rows(world, 0, 100), "cc1=1300+500 cp=600+600 make=10+0");
    assert_int_equal(row_at(world, 0)->pairs, 3);
    iol_view_set_group(world->view, IOL_GROUP_FILE);
    assert_string_equal(rows(world, 0, 100), "/usr/include/stdio.h=1010+0 /etc/passwd=600+0 (pipes)=0+600 "
                                             "/usr/src/a/out.o=0+500 /usr/include/string.h=300+0");
    iol_view_set_group(world->view, IOL_GROUP_CONTAINER);
    assert_string_equal(rows(world, 0, 100), "none=1310+500 0123456789abcdef=600+600");
    iol_view_set_group(world->view, IOL_GROUP_DIRECTORY);
    assert_string_equal(rows(world, 0, 100), "/usr/=1310+500 /etc/=600+0 (pipes)=0+600");
}

static void directories_are_opened_level_by_level(void **state)
{
    struct world *world = *state;
    char scope[64];

    iol_view_set_group(world->view, IOL_GROUP_DIRECTORY);
    assert_true(iol_view_open(world->view, row_at(world, 0)));
    assert_string_equal(rows(world, 0, 100), "/usr/include/=1310+0 /usr/src/=0+500");
    assert_true(iol_view_open(world->view, row_at(world, 0)));
    assert_string_equal(rows(world, 0, 100), "/usr/include/stdio.h=1010+0 /usr/include/string.h=300+0");
    iol_view_scope(world->view, scope, sizeof(scope));
    assert_string_equal(scope, "/usr/include/");
    assert_true(iol_view_open(world->view, row_at(world, 0)));
    assert_string_equal(rows(world, 0, 100), "cc1=1000+0 make=10+0");
    assert_true(iol_view_back(world->view));
    assert_true(iol_view_back(world->view));
    assert_string_equal(rows(world, 0, 100), "/usr/include/=1310+0 /usr/src/=0+500");
    iol_view_set_group(world->view, IOL_GROUP_PROCESS); /* still below /usr/ */
    assert_string_equal(rows(world, 0, 100), "cc1=1300+500 make=10+0");
    assert_true(iol_view_back(world->view));
    assert_false(iol_view_back(world->view));
    assert_int_equal(iol_view_group(world->view), IOL_GROUP_DIRECTORY);
    assert_string_equal(rows(world, 0, 1), "/usr/=1310+500");
}

static void a_row_opens_to_what_is_in_it(void **state)
{
    struct world *world = *state;
    char scope[64];

    iol_view_set_group(world->view, IOL_GROUP_CONTAINER);
    assert_true(iol_view_open(world->view, row_at(world, 1)));
    assert_string_equal(rows(world, 0, 100), "cp=600+600");
    assert_true(iol_view_open(world->view, row_at(world, 0)));
    assert_string_equal(rows(world, 0, 100), "/etc/passwd=600+0 (pipes)=0+600");
    iol_view_scope(world->view, scope, sizeof(scope));
    assert_string_equal(scope, "0123456789abcdef, cp (13)");
    assert_true(iol_view_back(world->view));
    assert_true(iol_view_back(world->view));
    iol_view_set_group(world->view, IOL_GROUP_PAIR);
    assert_false(iol_view_open(world->view, row_at(world, 0)));
}

static void each_word_of_a_filter_is_asked_for(void **state)
{
    struct world *world = *state;

    iol_view_set_filter(world->view, "STDIO");
    assert_string_equal(rows(world, 0, 100), "cc1:/usr/include/stdio.h=1000+0 make:/usr/include/stdio.h=10+0");
    iol_view_set_filter(world->view, "  stdio cc1 ");
    assert_string_equal(rows(world, 0, 100), "cc1:/usr/include/stdio.h=1000+0");
    assert_int_equal(iol_view_sum(world->view).read_bytes, 1000);
    iol_view_set_filter(world->view, "0123456789ab");
    assert_string_equal(rows(world, 0, 100), "cp:/etc/passwd=600+0 cp:(pipes)=0+600");
    iol_view_set_filter(world->view, "13");
    assert_string_equal(rows(world, 0, 1), "cp:/etc/passwd=600+0");
    iol_view_set_filter(world->view, "nothing of the kind");
    assert_string_equal(rows(world, 0, 100), "");
    iol_view_set_filter(world->view, "a b c d e f g h i j k l m n o p q r s t u v w x y z");
    assert_int_equal(iol_view_make(world->view, 0, 100), 0);
    iol_view_set_filter(world->view, "");
    assert_int_equal(iol_view_make(world->view, 0, 100), 0);
    assert_int_equal(iol_view_count(world->view), 6);
}

static void a_name_that_comes_later_is_filtered_too(void **state)
{
    struct world *world = *state;

    iol_view_set_filter(world->view, "late");
    assert_string_equal(rows(world, 0, 100), "");
    add_process(world->batch, 900, 99, "latecomer");
    add_io(world->batch, 900, PASSWD, 5, 0);
    end_interval(world);
    assert_string_equal(rows(world, 0, 100), "latecomer:/etc/passwd=5+0");
}

static void routes_of_a_pair_are_one_row(void **state)
{
    struct world *world = *state;

    add_io(world->batch, CC, OUT_O, 0, 100);
    add_io(world->batch, CC, STRING_H, 1, 0);
    add_io(world->batch, CC, OUT_O, 50, 3)->route = IOL_ROUTE_SPLICE;
    end_interval(world);
    assert_string_equal(rows(world, 0, 2), "cc1:/usr/src/a/out.o=50+103 cc1:/usr/include/string.h=1+0");
    assert_in_range(row_at(world, 0)->history[IOL_HISTORY_SECONDS - 1], 138, 168); /* 153 */
}

static void an_idle_row_is_last_and_goes_after_a_minute(void **state)
{
    struct world *world = *state;
    size_t n;

    add_io(world->batch, MAKE, PASSWD, 1, 0);
    end_interval(world);
    assert_string_equal(rows(world, 0, 2), "make:/etc/passwd=1+0 cc1:/usr/include/stdio.h=0+0");
    assert_int_equal(iol_view_count(world->view), 7);
    for (int i = 0; i < 58; i++)
        end_interval(world);
    iol_live_pairs_all(world->pairs, &n);
    assert_int_equal(n, 7);
    end_interval(world);
    assert_string_equal(rows(world, 0, 100), "make:/etc/passwd=0+0");
    end_interval(world);
    assert_string_equal(rows(world, 0, 100), "");
}

static void the_minute_of_a_group_is_that_of_its_pairs(void **state)
{
    struct world *world = *state;
    const struct iol_view_row *row;

    add_io(world->batch, CC, STDIO_H, 4, 0);
    add_io(world->batch, CC, OUT_O, 0, 8);
    end_interval(world);
    iol_view_set_group(world->view, IOL_GROUP_PROCESS);
    row = row_at(world, 0);
    assert_string_equal(row->process->comm, "cc1");
    assert_int_equal(row->history[IOL_HISTORY_SECONDS - 1], 12);
    assert_in_range(row->history[IOL_HISTORY_SECONDS - 2], 1650, 1950); /* 1800 */
    assert_int_equal(row->history[IOL_HISTORY_SECONDS - 3], 0);
    iol_view_set_sort(world->view, IOL_SORT_WRITTEN);
    row = row_at(world, 0);
    assert_int_equal(row->history[IOL_HISTORY_SECONDS - 1], 8);
}

/* Many pairs that come and go in another order each time: the table finds each, and sums stay right. */
static void many_pairs_are_told_apart(void **state)
{
    enum { PROCESSES = 40, FILES = 90 };
    struct world *world = *state;
    static char paths[FILES][16];
    size_t n;

    for (int i = 0; i < PROCESSES; i++)
        add_process(world->batch, 1000 + i, 1000 + i, "p");
    for (int i = 0; i < FILES; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/f/%d", i);
        add_file(world->batch, 2000 + i, paths[i]);
    }
    srand(11);
    for (int round = 0; round < 70; round++) {
        uint64_t bytes = 0;

        for (int i = 0; i < 400; i++) {
            int64_t process = 1000 + rand() % PROCESSES, file = 2000 + rand() % FILES, size = rand() % 100;

            add_io(world->batch, process, file, size, 0);
            bytes += (uint64_t)size;
        }
        end_interval(world);
        assert_int_equal(iol_view_make(world->view, 0, 10), 0);
        assert_int_equal(iol_view_sum(world->view).read_bytes, bytes);
    }
    iol_live_pairs_all(world->pairs, &n);
    assert_in_range(n, 3000, PROCESSES * FILES);
    for (int i = 0; i < 60; i++)
        end_interval(world);
    iol_live_pairs_all(world->pairs, &n);
    assert_int_equal(n, 0);
}

static void a_row_of_unknown_names_is_left_out(void **state)
{
    struct world *world = *state;

    add_io(world->batch, 4711, PASSWD, 1, 0);
    add_io(world->batch, CC, 4711, 1, 0);
    end_interval(world);
    assert_int_equal(iol_view_make(world->view, 0, 10), 0);
    assert_int_equal(iol_view_count(world->view), 6);
}

static void lineage_leads_over_execs(void **state)
{
    struct world *world = *state;
    struct iol_live_process *process = iol_live_names_process(world->names, CC);

    process = iol_live_names_parent(world->names, process);
    assert_int_equal(process->id, MAKE);
    process = iol_live_names_parent(world->names, process);
    assert_int_equal(process->id, SSHD);
    assert_null(iol_live_names_parent(world->names, process));
    assert_int_not_equal(iol_live_names_process(world->names, CC_FORK)->ended_ts, 0); /* by its exec */
}

static void names_stay_as_long_as_they_are_needed(void **state)
{
    struct world *world = *state;
    static char paths[6000][16];

    for (int i = 0; i < 6000; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/x/%d", i);
        add_file(world->batch, 10000 + i, paths[i]);
    }
    add_process(world->batch, 5000, 50, "marked");
    add_process(world->batch, 5001, 51, "gone");
    end_interval(world);
    assert_true(iol_live_names_crowded(world->names));
    iol_live_names_mark_process(world->names, 5000);
    iol_live_names_mark_file(world->names, 10007);
    iol_live_names_trim(world->names);
    assert_false(iol_live_names_crowded(world->names));
    assert_non_null(iol_live_names_process(world->names, 5000));
    assert_null(iol_live_names_process(world->names, 5001));
    assert_non_null(iol_live_names_file(world->names, 10007));
    assert_null(iol_live_names_file(world->names, 10008));
    /* of pairs, and their ancestors */
    assert_non_null(iol_live_names_process(world->names, CC));
    assert_non_null(iol_live_names_process(world->names, SSHD));
    assert_non_null(iol_live_names_file(world->names, STDIO_H));
    assert_string_equal(rows(world, 0, 1), "cc1:/usr/include/stdio.h=0+0");
}

static void a_row_has_the_same_key_in_another_frame(void **state)
{
    struct world *world = *state;
    uint64_t first, second;

    first = iol_view_key(row_at(world, 0));
    second = iol_view_key(row_at(world, 1));
    assert_int_not_equal(first, second);
    add_io(world->batch, CP, PASSWD, 5000, 0);
    end_interval(world);
    assert_int_equal(iol_view_key(row_at(world, 0)), second);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pairs_stand_by_bytes),
        TEST(each_sort_key_sorts),
        TEST(groups_are_sums),
        TEST(directories_are_opened_level_by_level),
        TEST(a_row_opens_to_what_is_in_it),
        TEST(each_word_of_a_filter_is_asked_for),
        TEST(a_name_that_comes_later_is_filtered_too),
        TEST(routes_of_a_pair_are_one_row),
        TEST(an_idle_row_is_last_and_goes_after_a_minute),
        TEST(the_minute_of_a_group_is_that_of_its_pairs),
        TEST(many_pairs_are_told_apart),
        TEST(a_row_of_unknown_names_is_left_out),
        TEST(lineage_leads_over_execs),
        TEST(names_stay_as_long_as_they_are_needed),
        TEST(a_row_has_the_same_key_in_another_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
