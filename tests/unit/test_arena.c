// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"

static int make_arena(void **state)
{
    *state = iol_arena_new();
    return *state ? 0 : -1;
}

static int free_arena(void **state)
{
    iol_arena_free(*state);
    return 0;
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    iol_arena_free(NULL);
}

static void a_new_one_has_handed_out_nothing(void **state)
{
    assert_int_equal(iol_arena_used(*state), 0);
}

static void memory_is_aligned_for_any_type(void **state)
{
    for (size_t size = 0; size < 200; size++) {
        char *memory = iol_arena_alloc(*state, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        memset(memory, 0xA5, size);
        /* A text of odd length in between must not spoil the next one's alignment. */
        assert_non_null(iol_arena_dup(*state, "abc", size % 3));
    }
}

/* Pieces of many sizes, small and larger than a chunk, all keep what was written to them. */
static void pieces_do_not_overlap(void **state)
{
    enum { PIECES = 2000 };
    static struct {
        unsigned char *data;
        size_t size;
    } pieces[PIECES];

    for (size_t i = 0; i < PIECES; i++) {
        pieces[i].size = i % 500 == 499 ? 300000 : (i * 37) % 701;
        pieces[i].data = iol_arena_alloc(*state, pieces[i].size);
        assert_non_null(pieces[i].data);
        memset(pieces[i].data, (int)(i & 0xFF), pieces[i].size);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < pieces[i].size; k++)
            assert_int_equal(pieces[i].data[k], i & 0xFF);
}

static void copies_end_in_a_nul(void **state)
{
    const char data[] = {'a', 'b', 'c', 'd'};
    char *copy = iol_arena_dup(*state, data, 3);
    assert_string_equal(copy, "abc");
    assert_string_equal(iol_arena_dup(*state, NULL, 0), "");
    assert_string_equal(copy, "abc");
}

static void copies_keep_every_byte(void **state)
{
    static char data[70000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i % 251);
    const char *copy = iol_arena_dup(*state, data, sizeof(data));
    assert_memory_equal(copy, data, sizeof(data));
    assert_int_equal(copy[sizeof(data)], '\0');
}

static void what_is_used_is_what_was_handed_out(void **state)
{
    assert_non_null(iol_arena_dup(*state, "12345", 5));
    assert_int_equal(iol_arena_used(*state), 6);
    assert_non_null(iol_arena_alloc(*state, 100000));
    assert_in_range(iol_arena_used(*state), 100006, 100006 + _Alignof(max_align_t));
}

static void the_impossible_is_refused(void **state)
{
    assert_null(iol_arena_alloc(*state, SIZE_MAX));
    assert_null(iol_arena_alloc(*state, SIZE_MAX - 8));
    assert_null(iol_arena_dup(*state, "", SIZE_MAX));
    assert_int_equal(iol_arena_used(*state), 0);
    assert_non_null(iol_arena_alloc(*state, 1));
}

int main(void)
{
#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, make_arena, free_arena)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freeing_nothing_is_fine),
        WITH_ARENA(a_new_one_has_handed_out_nothing),
        WITH_ARENA(memory_is_aligned_for_any_type),
        WITH_ARENA(pieces_do_not_overlap),
        WITH_ARENA(copies_end_in_a_nul),
        WITH_ARENA(copies_keep_every_byte),
        WITH_ARENA(what_is_used_is_what_was_handed_out),
        WITH_ARENA(the_impossible_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
