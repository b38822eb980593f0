// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "app/live/page.h"
#include "base/text.h"

/* The line without its styles. */
static const char *line(const struct iol_page *page, size_t number)
{
    static char text[4096];
    size_t used = 0;

    for (size_t i = 0; i < page->n_pieces; i++) {
        const struct iol_page_piece *piece = &page->pieces[i];

        if (piece->line != number)
            continue;
        assert_true(used + piece->length < sizeof(text));
        memcpy(text + used, page->text + piece->start, piece->length);
        used += piece->length;
    }
    text[used] = '\0';
    return text;
}

static void a_cell_has_its_width(void **state)
{
    struct iol_page page = {0};

    (void)state;
    iol_page_clear(&page, 40, 5, true);
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_RIGHT, 6, "12");
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 6, "ab");
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 5, "abcdefgh");
    iol_page_put_path(&page, IOL_STYLE_PLAIN, 6, "/usr/lib/x.so");
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 0, "nothing");
    assert_string_equal(line(&page, 0), "    12ab    abcd\u2026\u2026/x.so");
    assert_int_equal(page.column, 23);
    iol_page_done(&page);
}

static void a_wide_character_is_never_cut_in_half(void **state)
{
    struct iol_page page = {0};

    (void)state;
    iol_page_clear(&page, 40, 5, true);
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 6, "日本語の");
    iol_page_put_path(&page, IOL_STYLE_PLAIN, 6, "日本語の");
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 8, "日本語の");
    assert_string_equal(line(&page, 0), "日本\u2026 \u2026語の 日本語の");
    assert_int_equal(page.column, 20);
    iol_page_done(&page);
}

static void hostile_text_is_shown_not_obeyed(void **state)
{
    struct iol_page page = {0};

    (void)state;
    iol_page_clear(&page, 120, 5, true);
    iol_page_say(&page, IOL_STYLE_PLAIN, "%s",
                 "\033]0;owned\a a\nb\r\x7f\u202e\xc2\x9b"
                 "2J");
    assert_string_equal(line(&page, 0), "\\e]0;owned\\x07 a\\nb\\x0d\\x7f\\u{202e}\\u{009b}2J");
    assert_int_equal(page.line, 0);
    iol_page_end_line(&page);
    iol_page_put_path(&page, IOL_STYLE_PLAIN, 4, "\033[2J\033[2J");
    assert_int_equal(iol_text_width(line(&page, 1)), 4);
    assert_null(strchr(line(&page, 1), '\033'));
    iol_page_done(&page);
}

static void without_utf8_there_is_ascii_only(void **state)
{
    struct iol_page page = {0};
    const uint64_t numbers[] = {0, 1, 8};

    (void)state;
    iol_page_clear(&page, 40, 5, false);
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 5, "日本x");
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 3, "abcdef");
    iol_page_chart(&page, IOL_STYLE_PLAIN, 3, numbers, 3);
    assert_string_equal(line(&page, 0), "??x  ab~ .#");
    iol_page_done(&page);
}

static void nothing_goes_beyond_the_page(void **state)
{
    struct iol_page page = {0};

    (void)state;
    iol_page_clear(&page, 10, 2, true);
    for (int i = 0; i < 5; i++) {
        iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_RIGHT, 8, "right");
        iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 8, "left");
        iol_page_say(&page, IOL_STYLE_PLAIN, "more");
        iol_page_blanks(&page, 1000);
        iol_page_end_line(&page);
    }
    assert_string_equal(line(&page, 0), "   rightl\u2026");
    assert_int_equal(iol_text_width(line(&page, 1)), 10);
    assert_string_equal(line(&page, 2), "");
    iol_page_done(&page);
}

static void a_long_text_is_wrapped_and_then_cut(void **state)
{
    struct iol_page page = {0};

    (void)state;
    iol_page_clear(&page, 10, 8, true);
    iol_page_put(&page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, 4, "argv");
    iol_page_wrap(&page, IOL_STYLE_PLAIN, 4, 3, "aaaaaabbbbbbccccccdddd");
    assert_string_equal(line(&page, 0), "argvaaaaaa");
    assert_string_equal(line(&page, 1), "    bbbbbb");
    assert_string_equal(line(&page, 2), "    ccccc\u2026");
    assert_int_equal(page.line, 3);
    iol_page_wrap(&page, IOL_STYLE_PLAIN, 4, 3, "short");
    assert_string_equal(line(&page, 3), "    short");
    assert_int_equal(page.line, 4);
    iol_page_done(&page);
}

static void a_chart_is_of_means_and_its_highest_is_full(void **state)
{
    struct iol_page page = {0};
    const uint64_t numbers[] = {0, 0, 1, 0, 400, 400, 800, 800};

    (void)state;
    iol_page_clear(&page, 40, 5, true);
    iol_page_chart(&page, IOL_STYLE_CHART, 4, numbers, 8);
    assert_string_equal(line(&page, 0), " \u2581\u2584\u2588");
    iol_page_end_line(&page);
    iol_page_chart(&page, IOL_STYLE_CHART, 10, numbers, 8); /* there are no more bars than numbers */
    assert_int_equal(page.column, 10);
    iol_page_end_line(&page);
    iol_page_chart(&page, IOL_STYLE_CHART, 4, (const uint64_t[]){0, 0, 0, 0}, 4);
    assert_string_equal(line(&page, 2), "    ");
    iol_page_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cell_has_its_width),
        cmocka_unit_test(a_wide_character_is_never_cut_in_half),
        cmocka_unit_test(hostile_text_is_shown_not_obeyed),
        cmocka_unit_test(without_utf8_there_is_ascii_only),
        cmocka_unit_test(nothing_goes_beyond_the_page),
        cmocka_unit_test(a_long_text_is_wrapped_and_then_cut),
        cmocka_unit_test(a_chart_is_of_means_and_its_highest_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
