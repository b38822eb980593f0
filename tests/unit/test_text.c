// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/text.h"

/* What is stored for `size` bytes; a copy on the heap without a NUL, so that reading past them is seen. */
static const char *store(struct iol_arena *arena, const char *data, size_t size, bool *ret_escaped)
{
    char *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, data, size);
    const char *stored = iol_text_store(arena, exact, size, ret_escaped);
    free(exact);
    assert_non_null(stored);
    return stored;
}

static void assert_stored(const char *data, const char *want, bool want_escaped)
{
    struct iol_arena *arena = iol_arena_new();
    bool escaped = !want_escaped;
    assert_string_equal(store(arena, data, strlen(data), &escaped), want);
    assert_int_equal(escaped, want_escaped);
    iol_arena_free(arena);
}

static void valid_utf8_is_stored_as_it_is(void **state)
{
    (void)state;
    assert_stored("", "", false);
    assert_stored("/etc/passwd", "/etc/passwd", false);
    assert_stored("a\nb\tc\x01\x1b[31m\x7f", "a\nb\tc\x01\x1b[31m\x7f", false);
    assert_stored("back\\slash\\", "back\\slash\\", false);
    assert_stored("\u00e4\u20ac\U0001f600", "\u00e4\u20ac\U0001f600", false);
}

static void the_borders_of_each_length_are_valid(void **state)
{
    (void)state;
    assert_stored("\x7f", "\x7f", false);
    assert_stored("\xc2\x80", "\xc2\x80", false);
    assert_stored("\xdf\xbf", "\xdf\xbf", false);
    assert_stored("\xe0\xa0\x80", "\xe0\xa0\x80", false);
    assert_stored("\xed\x9f\xbf", "\xed\x9f\xbf", false);
    assert_stored("\xee\x80\x80", "\xee\x80\x80", false);
    assert_stored("\xef\xbf\xbf", "\xef\xbf\xbf", false);
    assert_stored("\xf0\x90\x80\x80", "\xf0\x90\x80\x80", false);
    assert_stored("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", false);
}

static void overlong_forms_are_escaped(void **state)
{
    (void)state;
    assert_stored("\xc0\x80", "\\xc0\\x80", true);
    assert_stored("\xc1\xbf", "\\xc1\\xbf", true);
    assert_stored("\xc0\xaf", "\\xc0\\xaf", true);
    assert_stored("\xe0\x80\xaf", "\\xe0\\x80\\xaf", true);
    assert_stored("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf", true);
    assert_stored("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf", true);
}

static void surrogates_and_what_lies_above_unicode_are_escaped(void **state)
{
    (void)state;
    assert_stored("\xed\xa0\x80", "\\xed\\xa0\\x80", true);
    assert_stored("\xed\xbf\xbf", "\\xed\\xbf\\xbf", true);
    assert_stored("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", true);
    assert_stored("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80", true);
    assert_stored("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80", true);
    assert_stored("\xfe\xff", "\\xfe\\xff", true);
}

static void truncated_sequences_are_escaped_and_nothing_after_them(void **state)
{
    (void)state;
    assert_stored("\xc3", "\\xc3", true);
    assert_stored("\xe2\x82", "\\xe2\\x82", true);
    assert_stored("\xf0\x9f\x98", "\\xf0\\x9f\\x98", true);
    assert_stored("\xe2\x82/x", "\\xe2\\x82/x", true);
    assert_stored("\xe2\x82\xe2\x82\xac", "\\xe2\\x82\u20ac", true);
    assert_stored("\x80z\xbf", "\\x80z\\xbf", true);
}

static void backslashes_are_doubled_only_in_the_escaped_form(void **state)
{
    (void)state;
    assert_stored("\\xff", "\\xff", false);
    assert_stored("\\xff\xff", "\\\\xff\\xff", true);
    assert_stored("\xff\\", "\\xff\\\\", true);
}

/* Two different names never become the same text with the same mark. */
static void the_escaped_form_can_be_read_back(void **state)
{
    (void)state;
    struct iol_arena *arena = iol_arena_new();
    char data[256];
    for (int i = 0; i < 255; i++)
        data[i] = (char)(i + 1);
    bool escaped = false;
    const char *stored = store(arena, data, 255, &escaped);
    assert_true(escaped);

    size_t n = 0;
    for (const char *s = stored; *s; n++) {
        int byte = (unsigned char)*s++;
        if (byte == '\\' && *s == '\\') {
            s++;
        } else if (byte == '\\') {
            assert_int_equal(*s, 'x');
            byte = (int)strtol((char[]){s[1], s[2], '\0'}, NULL, 16);
            s += 3;
        }
        assert_int_equal(byte, n + 1);
    }
    assert_int_equal(n, 255);
    iol_arena_free(arena);
}

static void nobody_has_to_ask_whether_it_was_escaped(void **state)
{
    (void)state;
    struct iol_arena *arena = iol_arena_new();
    assert_string_equal(store(arena, "\xff", 1, NULL), "\\xff");
    assert_string_equal(store(arena, "a", 1, NULL), "a");
    iol_arena_free(arena);
}

static void assert_visible(const char *text, const char *want)
{
    char buf[256];
    assert_int_equal(iol_text_visible(buf, sizeof(buf), text), strlen(want));
    assert_string_equal(buf, want);
}

static void controls_are_made_visible(void **state)
{
    (void)state;
    assert_visible("plain", "plain");
    assert_visible("a\nb\tc\x1b[0m", "a\\nb\\tc\\e[0m");
    assert_visible("\r\x01\x1f\x7f", "\\x0d\\x01\\x1f\\x7f");
    assert_visible("\xc2\x85\xc2\x9b"
                   "31m",
                   "\\u{0085}\\u{009b}31m");
    assert_visible("back\\slash", "back\\slash");
}

static void what_reorders_or_hides_text_is_made_visible(void **state)
{
    (void)state;
    assert_visible("a\u202egpj.exe", "a\\u{202e}gpj.exe");
    assert_visible("\u2066x\u2069", "\\u{2066}x\\u{2069}");
    assert_visible("a\u200bb\u200d\ufeff\u061c", "a\\u{200b}b\\u{200d}\\u{feff}\\u{061c}");
    assert_visible("\u2028\u2029", "\\u{2028}\\u{2029}");
    assert_visible("\U000e0041", "\\u{e0041}");
    assert_visible("\u200a\u2010\u202f\u00a0", "\u200a\u2010\u202f\u00a0");
}

static void letters_of_any_script_stay(void **state)
{
    (void)state;
    assert_visible("\u00e4\u4e2d\u0301\U0001f600\u05d0", "\u00e4\u4e2d\u0301\U0001f600\u05d0");
}

static void stray_bytes_are_made_visible(void **state)
{
    (void)state;
    assert_visible("a\xff\xc3", "a\\xff\\xc3");
    assert_visible("\xc2", "\\xc2");
}

/* Whatever the size: terminated, a whole number of pieces, and the full length told. */
static void small_buffers_get_whole_pieces(void **state)
{
    (void)state;
    static const char text[] = "a\u20ac\nb";
    static const char *const pieces[] = {"", "a", "a\u20ac", "a\u20ac\\n", "a\u20ac\\nb"};

    assert_int_equal(iol_text_visible(NULL, 0, text), 7);
    for (size_t size = 1; size <= 9; size++) {
        char *buf = malloc(size);
        assert_non_null(buf);
        assert_int_equal(iol_text_visible(buf, size, text), 7);
        const char *want = "";
        for (size_t i = 0; i < IOL_ARRAY_SIZE(pieces); i++)
            if (strlen(pieces[i]) < size)
                want = pieces[i];
        assert_string_equal(buf, want);
        free(buf);
    }
}

static void widths_are_those_of_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(iol_text_width(""), 0);
    assert_int_equal(iol_text_width("plain"), 5);
    assert_int_equal(iol_text_width("\u00e4\u00f6"), 2);
    assert_int_equal(iol_text_width("\u4e2d\u6587"), 4);
    assert_int_equal(iol_text_width("\uff21"), 2);
    assert_int_equal(iol_text_width("e\u0301"), 1);
    assert_int_equal(iol_text_width("\U0001f600"), 2);
    assert_int_equal(iol_text_width("\xff"), 1);
}

static void widths_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_ALL, "C"));
    assert_int_equal(iol_text_width("\u4e2d"), 2);
    assert_int_equal(MB_CUR_MAX, 1); /* and the caller's is back */
}

static void assert_bytes(uint64_t n, const char *want)
{
    char buf[16];
    assert_ptr_equal(iol_text_bytes(buf, sizeof(buf), n), buf);
    assert_string_equal(buf, want);
}

static void bytes_are_scaled_by_1024(void **state)
{
    (void)state;
    assert_bytes(0, "0");
    assert_bytes(999, "999");
    assert_bytes(1023, "1023");
    assert_bytes(1024, "1.0K");
    assert_bytes(1024 + 51, "1.0K");
    assert_bytes(1024 + 52, "1.1K");
    assert_bytes(12 * 1024 * 1024 + 300 * 1024, "12.3M");
    assert_bytes(1024 * 1024 - 52, "1023.9K");
    assert_bytes(1024 * 1024 - 51, "1.0M");
    assert_bytes(1024 * 1024, "1.0M");
    assert_bytes(UINT64_C(1) << 60, "1.0E");
    assert_bytes(UINT64_MAX, "16.0E");
}

static void sizes_are_bytes_with_their_unit(void **state)
{
    char buf[16];

    (void)state;
    assert_string_equal(iol_text_size(buf, sizeof(buf), 0), "0 B");
    assert_string_equal(iol_text_size(buf, sizeof(buf), 1023), "1023 B");
    assert_string_equal(iol_text_size(buf, sizeof(buf), 1536), "1.5 KB");
    assert_string_equal(iol_text_size(buf, sizeof(buf), 12 * 1024 * 1024 + 300 * 1024), "12.3 MB");
    assert_string_equal(iol_text_size(buf, sizeof(buf), UINT64_MAX), "16.0 EB");
}

static void spans_have_two_units(void **state)
{
    const int64_t s = 1000000000, min = 60 * s, h = 60 * min, d = 24 * h;
    const struct {
        int64_t ns;
        const char *want;
    } cases[] = {
        {INT64_MIN, "0.0 s"},
        {-1, "0.0 s"},
        {0, "0.0 s"},
        {99999999, "0.0 s"},
        {s / 2, "0.5 s"},
        {10 * s - 1, "9.9 s"},
        {10 * s, "10 s"},
        {min - 1, "59 s"},
        {min, "1 min"},
        {h - 1, "59 min 59 s"},
        {h + 7 * min + 59 * s, "1 h 7 min"},
        {d - 1, "23 h 59 min"},
        {d, "1 d"},
        {9 * d + 3 * h + 1, "9 d 3 h"},
        {INT64_MAX, "106751 d 23 h"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char buf[32];

        assert_string_equal(iol_text_span(buf, sizeof(buf), cases[i].ns), cases[i].want);
    }
}

static void assert_count(uint64_t n, const char *want)
{
    char buf[16];
    assert_ptr_equal(iol_text_count(buf, sizeof(buf), n), buf);
    assert_string_equal(buf, want);
}

static void counts_are_scaled_by_1000(void **state)
{
    (void)state;
    assert_count(0, "0");
    assert_count(999, "999");
    assert_count(1000, "1.0K");
    assert_count(1049, "1.0K");
    assert_count(1050, "1.1K");
    assert_count(999949, "999.9K");
    assert_count(999950, "1.0M");
    assert_count(UINT64_C(999949999999999999), "999.9P");
    assert_count(UINT64_C(999950000000000000), "1.0E");
    assert_count(UINT64_MAX, "18.4E");
}

static void assert_time(int64_t ns, const char *want)
{
    char buf[32];
    assert_ptr_equal(iol_text_time(buf, sizeof(buf), ns), buf);
    assert_string_equal(buf, want);
}

static void times_are_utc_with_microseconds(void **state)
{
    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    assert_time(0, "1970-01-01 00:00:00.000000");
    assert_time(INT64_C(1795421886123456789), "2026-11-23 08:18:06.123456");
    assert_time(INT64_C(1709251199999999999), "2024-02-29 23:59:59.999999");
}

static void times_before_the_epoch_round_down_too(void **state)
{
    (void)state;
    assert_time(-1, "1969-12-31 23:59:59.999999");
    assert_time(-1000, "1969-12-31 23:59:59.999999");
    assert_time(-1001, "1969-12-31 23:59:59.999998");
    assert_time(INT64_C(-1000000000), "1969-12-31 23:59:59.000000");
    assert_time(INT64_MIN, "1677-09-21 00:12:43.145224");
    assert_time(INT64_MAX, "2262-04-11 23:47:16.854775");
}

static void numbers_and_times_respect_tiny_buffers(void **state)
{
    (void)state;
    char *buf = malloc(3);
    assert_non_null(buf);
    assert_string_equal(iol_text_bytes(buf, 3, 1023), "10");
    assert_string_equal(iol_text_count(buf, 1, 5), "");
    assert_string_equal(iol_text_time(buf, 3, 0), "19");
    free(buf);
}

static void times_are_read_back(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } times[] = {
        {"1970-01-01 00:00:00", 0},
        {"2025-11-23 08:20:00.250000", INT64_C(1763886000250000000)},
        {"2025-11-23 08:20:00.000001", INT64_C(1763886000000001000)},
        {"2025-11-23 08:20:00.25", INT64_C(1763886000250000000)},
        {"1969-12-31 23:59:59.500000", INT64_C(-500000000)},
    };
    int64_t ns;

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_true(iol_text_parse_time(times[i].text, &ns));
        assert_int_equal(ns, times[i].ns);
    }
    assert_false(iol_text_parse_time("", &ns));
    assert_false(iol_text_parse_time("2025-11-23", &ns));
    assert_false(iol_text_parse_time("yesterday", &ns));
}

static void short_spans_are_milliseconds(void **state)
{
    char buf[32];

    (void)state;
    assert_string_equal(iol_text_lasted(buf, sizeof(buf), 0), "0 ms");
    assert_string_equal(iol_text_lasted(buf, sizeof(buf), 7999999), "7 ms");
    assert_string_equal(iol_text_lasted(buf, sizeof(buf), INT64_C(999999999)), "999 ms");
    assert_string_equal(iol_text_lasted(buf, sizeof(buf), INT64_C(1000000000)), "1.0 s");
    assert_string_equal(iol_text_lasted(buf, sizeof(buf), -1), "0.0 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_back),
        cmocka_unit_test(short_spans_are_milliseconds),
        cmocka_unit_test(valid_utf8_is_stored_as_it_is),
        cmocka_unit_test(the_borders_of_each_length_are_valid),
        cmocka_unit_test(overlong_forms_are_escaped),
        cmocka_unit_test(surrogates_and_what_lies_above_unicode_are_escaped),
        cmocka_unit_test(truncated_sequences_are_escaped_and_nothing_after_them),
        cmocka_unit_test(backslashes_are_doubled_only_in_the_escaped_form),
        cmocka_unit_test(the_escaped_form_can_be_read_back),
        cmocka_unit_test(nobody_has_to_ask_whether_it_was_escaped),
        cmocka_unit_test(controls_are_made_visible),
        cmocka_unit_test(what_reorders_or_hides_text_is_made_visible),
        cmocka_unit_test(letters_of_any_script_stay),
        cmocka_unit_test(stray_bytes_are_made_visible),
        cmocka_unit_test(small_buffers_get_whole_pieces),
        cmocka_unit_test(widths_are_those_of_a_terminal),
        cmocka_unit_test(widths_do_not_depend_on_the_locale),
        cmocka_unit_test(bytes_are_scaled_by_1024),
        cmocka_unit_test(sizes_are_bytes_with_their_unit),
        cmocka_unit_test(spans_have_two_units),
        cmocka_unit_test(counts_are_scaled_by_1000),
        cmocka_unit_test(times_are_utc_with_microseconds),
        cmocka_unit_test(times_before_the_epoch_round_down_too),
        cmocka_unit_test(numbers_and_times_respect_tiny_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
