// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/stream.h"

static void an_array_grows_and_keeps_what_is_in_it(void **state)
{
    uint32_t *items = NULL;
    size_t room = 0, before = 0, grown = 0;

    (void)state;
    for (uint32_t n = 0; n < 10000; n++) {
        assert_int_equal(iol_array_reserve(&items, &room, n + 1, sizeof(*items)), 0);
        assert_true(room > n);
        grown += room != before;
        before = room;
        items[n] = n;
    }
    assert_true(grown < 16);
    for (uint32_t n = 0; n < 10000; n++)
        assert_int_equal(items[n], n);
    free(items);
}

static void an_array_grows_by_many_at_once(void **state)
{
    char *text = NULL;
    size_t room = 0;

    (void)state;
    assert_int_equal(iol_array_reserve(&text, &room, 0, 1), 0);
    assert_null(text);
    assert_int_equal(iol_array_reserve(&text, &room, 5000, 1), 0);
    assert_true(room >= 5000 && room < 10000);
    memset(text, 'x', room);
    free(text);
}

static void what_does_not_fit_changes_nothing(void **state)
{
    uint64_t *items = NULL;
    size_t room = 0;

    (void)state;
    assert_int_equal(iol_array_reserve(&items, &room, 3, sizeof(*items)), 0);
    uint64_t *there = items;
    size_t was = room;
    assert_int_equal(iol_array_reserve(&items, &room, SIZE_MAX, sizeof(*items)), -ENOMEM);
    assert_int_equal(iol_array_reserve(&items, &room, SIZE_MAX / 4, sizeof(*items)), -ENOMEM);
    assert_ptr_equal(items, there);
    assert_int_equal(room, was);
    free(items);
}

static void a_stream_is_a_text(void **state)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    (void)state;
    assert_non_null(out);
    for (int i = 0; i < 1000; i++)
        fprintf(out, "%d,", i % 10);
    char *text = iol_stream_text(&stream);
    assert_non_null(text);
    assert_int_equal(strlen(text), 2000);
    assert_memory_equal(text + 1996, "8,9,", 4);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_grows_and_keeps_what_is_in_it),
        cmocka_unit_test(an_array_grows_by_many_at_once),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
        cmocka_unit_test(a_stream_is_a_text),
    };

    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
