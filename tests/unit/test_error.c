// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

static void the_code_comes_back(void **state)
{
    (void)state;
    struct iol_error err;
    assert_int_equal(iol_error_set(&err, -ENOENT, "no %s", "file"), -ENOENT);
    assert_string_equal(err.text, "no file");
    assert_int_equal(iol_error_set(NULL, -EIO, "nobody listens"), -EIO);
    iol_error_hint(NULL, "nobody listens");
}

static void setting_takes_the_old_hint_away(void **state)
{
    (void)state;
    struct iol_error err;
    iol_error_set(&err, -1, "first");
    assert_string_equal(err.hint, "");
    iol_error_hint(&err, "do %d", 1);
    assert_string_equal(err.text, "first");
    assert_string_equal(err.hint, "do 1");
    iol_error_set(&err, -1, "second");
    assert_string_equal(err.hint, "");
}

static void a_message_can_be_added_to(void **state)
{
    (void)state;
    struct iol_error err;
    iol_error_set(&err, -1, "inner");
    iol_error_hint(&err, "wait");
    iol_error_hint(&err, "please %s", err.hint);
    assert_string_equal(err.hint, "please wait");
    iol_error_set(&err, -1, "outer: %s (%s)", err.text, err.hint);
    assert_string_equal(err.text, "outer: inner (please wait)");
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    char text[IOL_ERROR_TEXT_MAX * 2];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';

    struct iol_error err;
    iol_error_set(&err, -1, "%s", text);
    assert_int_equal(strlen(err.text), IOL_ERROR_TEXT_MAX - 1);
    iol_error_hint(&err, "%s", text);
    assert_int_equal(strlen(err.hint), IOL_ERROR_TEXT_MAX - 1);
}

/* A character of every length, at every place around the cut: it is there as a whole or not at all. */
static void no_character_is_cut_in_half(void **state)
{
    (void)state;
    static const char *const characters[] = {"\u00e4", "\u20ac", "\U0001f600"};

    for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++) {
        size_t length = strlen(characters[i]);
        for (size_t before = IOL_ERROR_TEXT_MAX - 6; before < IOL_ERROR_TEXT_MAX; before++) {
            char text[IOL_ERROR_TEXT_MAX * 2];
            memset(text, 'x', before);
            strcpy(text + before, characters[i]);
            strcat(text, "yyyyyyyyyy");
            struct iol_error err;
            iol_error_set(&err, -1, "%s", text);

            size_t got = strlen(err.text);
            if (before + length <= IOL_ERROR_TEXT_MAX - 1)
                assert_int_equal(got, IOL_ERROR_TEXT_MAX - 1);
            else
                assert_int_equal(got, before < IOL_ERROR_TEXT_MAX - 1 ? before : IOL_ERROR_TEXT_MAX - 1);
            assert_memory_equal(err.text, text, got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_code_comes_back),         cmocka_unit_test(setting_takes_the_old_hint_away),
        cmocka_unit_test(a_message_can_be_added_to),   cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(no_character_is_cut_in_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
