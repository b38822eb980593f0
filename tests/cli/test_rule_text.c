// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka.h wants those above first
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/rule_text.h"
#include "base/cleanup.h"
#include "base/error.h"

#define KIND(name) (1U << IOL_ABI_KIND_##name)

static void assert_text(const char *got, const char *want)
{
    if (want)
        assert_string_equal(got, want);
    else
        assert_null(got);
}

static void assert_rule(const struct iol_rule *got, const struct iol_rule *want)
{
    assert_int_equal(got->verdict, want->verdict);
    assert_int_equal(got->sample, want->sample);
    assert_text(got->path, want->path);
    assert_int_equal(got->tree, want->tree);
    assert_text(got->suffix, want->suffix);
    assert_int_equal(got->kinds, want->kinds);
    assert_text(got->comm, want->comm);
    assert_text(got->exe, want->exe);
    assert_int_equal(got->has_uid, want->has_uid);
    assert_int_equal(got->uid, want->uid);
}

struct sample {
    const char *text;
    struct iol_rule rule;
};

static void patterns_are_read(void **state)
{
    static const struct sample samples[] = {
        {"/etc/passwd", {.path = "/etc/passwd"}},
        {"/", {.path = "/"}},
        {"/etc/**", {.path = "/etc", .tree = true}},
        {"/**", {.path = "", .tree = true}},
        {"*.log", {.suffix = ".log"}},
        {"*~", {.suffix = "~"}},
        {"/var/log/**/*.log", {.path = "/var/log", .tree = true, .suffix = ".log"}},
        {"/**/*.log", {.path = "", .tree = true, .suffix = ".log"}},
        {"/a b/c\nd", {.path = "/a b/c\nd"}},
        {"/\xff\xfe", {.path = "/\xff\xfe"}},
        {"/a/...", {.path = "/a/..."}},
        {"/a/.b/..c", {.path = "/a/.b/..c"}},
        {"/kind:socket", {.path = "/kind:socket"}},
        {"/what/\\*/\\?\\[\\\\", {.path = "/what/*/?[\\"}},
        {"/a\\*/**", {.path = "/a*", .tree = true}},
        {"*\\*", {.suffix = "*"}},
        {"kind:file", {.kinds = KIND(FILE)}},
        {"kind:dir", {.kinds = KIND(DIR)}},
        {"kind:link", {.kinds = KIND(LINK)}},
        {"kind:chr", {.kinds = KIND(CHR)}},
        {"kind:blk", {.kinds = KIND(BLK)}},
        {"kind:dev", {.kinds = KIND(CHR) | KIND(BLK)}},
        {"kind:pipe", {.kinds = KIND(PIPE)}},
        {"kind:socket", {.kinds = KIND(SOCKET)}},
        {"kind:anon", {.kinds = KIND(ANON)}},
        {"kind:memfd", {.kinds = KIND(MEMFD)}},
        {"kind:other", {.kinds = KIND(OTHER)}},
        {"kind:pipe,socket", {.kinds = KIND(PIPE) | KIND(SOCKET)}},
    };

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(samples); i++) {
        struct iol_rule_list list = {0};
        struct iol_rule want = samples[i].rule;

        want.verdict = IOL_VERDICT_EVERY;
        assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_EVERY, samples[i].text, NULL), 0);
        assert_int_equal(list.n, 1);
        assert_rule(&list.rules[0], &want);
        iol_rule_text_done(&list);
    }
}

static void conditions_are_read(void **state)
{
    static const struct sample samples[] = {
        {"/etc/** if comm=sh", {.path = "/etc", .tree = true, .comm = "sh"}},
        {"/etc/** if comm=a name that is long", {.path = "/etc", .tree = true, .comm = "a name that is "}},
        {"/a if user=0", {.path = "/a", .has_uid = true}},
        {"/a if user=root", {.path = "/a", .has_uid = true}},
        {"/a if user=4294967295", {.path = "/a", .has_uid = true, .uid = UINT32_MAX}},
        {"/a if exe=/no/such/program", {.path = "/a", .exe = "/no/such/program"}},
        {"*.log if kind=dev", {.suffix = ".log", .kinds = KIND(CHR) | KIND(BLK)}},
        {"kind:socket if comm=nginx and user=33 and exe=/no/such",
         {.kinds = KIND(SOCKET), .comm = "nginx", .has_uid = true, .uid = 33, .exe = "/no/such"}},
        /* an " if " that no condition follows belongs to the name */
        {"/what if", {.path = "/what if"}},
        {"/what if nothing", {.path = "/what if nothing"}},
        {"/what if x=1", {.path = "/what if x=1"}},
        {"/what if if comm=sh", {.path = "/what if", .comm = "sh"}},
        {"/what if comm=a if comm=sh", {.path = "/what if comm=a", .comm = "sh"}},
        {"/a if comm=what if", {.path = "/a", .comm = "what if"}},
        {"/a if comm=rock and roll", {.path = "/a", .comm = "rock and roll"}},
        {"/a if comm=a and b and user=1", {.path = "/a", .comm = "a and b", .has_uid = true, .uid = 1}},
    };

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(samples); i++) {
        struct iol_rule_list list = {0};
        struct iol_rule want = samples[i].rule;

        want.verdict = IOL_VERDICT_IGNORE;
        assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_IGNORE, samples[i].text, NULL), 0);
        assert_rule(&list.rules[0], &want);
        iol_rule_text_done(&list);
    }
}

static void other_rules_are_refused(void **state)
{
    static const struct {
        const char *text, *told;
    } bad[] = {
        {"", "the pattern is empty"},
        {" if comm=sh", "the pattern is empty"},
        {"etc/passwd", "'etc/passwd' is not an absolute path"},
        {" /etc", "' /etc' is not an absolute path"},
        {"/etc/", "'/etc/' ends in '/'"},
        {"//", "'//' ends in '/'"},
        {"/a//b", "'//'"},
        {"/a/./b", "'/.'"},
        {"/a/..", "'/..'"},
        {"/../**", "'/..'"},
        {"*", "'*' is no pattern"},
        {"**", "'**' is no pattern"},
        {"**.log", "'**.log' is no pattern"},
        {"*/a", "'*/a' is no pattern"},
        {"*.l?g", "'*.l?g' is no pattern"},
        {"/*", "'/*' is no pattern"},
        {"/etc/*", "'/etc/*' is no pattern"},
        {"/etc/*.conf", "'/etc/*.conf' is no pattern"},
        {"/etc**", "'/etc**' is no pattern"},
        {"/etc/***", "'/etc/***' is no pattern"},
        {"/etc/**x", "'/etc/**x' is no pattern"},
        {"/etc/**/", "'/etc/**/' is no pattern"},
        {"/etc/**/*", "'/etc/**/*' is no pattern"},
        {"/etc/**/x", "'/etc/**/x' is no pattern"},
        {"/etc/**/*/x", "'/etc/**/*/x' is no pattern"},
        {"/etc/**/*.a*", "'/etc/**/*.a*' is no pattern"},
        {"/etc/?", "'/etc/?' is no pattern"},
        {"/etc/[ab]", "'/etc/[ab]' is no pattern"},
        {"a*", "'a*' is no pattern"},
        {"/a\\**", "is no pattern"},
        {"/a\\**/b/\\*", "is no pattern"},
        {"/etc/** if foo=1", "is no pattern"},
        {"/a\\b", "a backslash stands before"},
        {"/a\\", "a backslash stands before"},
        {"*\\a", "a backslash stands before"},
        {"kind:", "'' is no kind"},
        {"kind:door", "'door' is no kind"},
        {"kind:pipe,", "'' is no kind"},
        {"/a if comm=", "there is nothing after 'comm='"},
        {"/a if exe=", "there is nothing after 'exe='"},
        {"/a if exe=sh", "exe=sh is not an absolute path"},
        {"/a if user=", "there is nothing after 'user='"},
        {"/a if user=no such user", "there is no user 'no such user'"},
        {"/a if user=4294967296", "there is no user '4294967296'"},
        {"/a if kind=door", "'door' is no kind"},
        {"/a if comm=a and comm=b", "comm= is given twice"},
        {"/a if user=1 and user=2", "user= is given twice"},
        {"/a if exe=/no and exe=/no", "exe= is given twice"},
        {"kind:pipe if kind=pipe", "the kind is given twice"},
        {"/a if comm=a and uid=1", "'uid=1' is no condition; conditions are comm=, exe=, user= and kind="},
    };

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(bad); i++) {
        struct iol_rule_list list = {0};
        struct iol_error err = {0};

        if (iol_rule_text_add(&list, IOL_VERDICT_IGNORE, bad[i].text, &err) >= 0 || !strstr(err.text, bad[i].told))
            fail_msg("'%s' is told as: %s", bad[i].text, err.text);
        assert_int_equal(list.n, 0);
        iol_rule_text_done(&list);
    }
}

static void samples_have_a_number(void **state)
{
    static const char *const bad[] = {
        "/a", ":/a", "0:/a", "1000001:/a", "-1:/a", "1/a", "1 :/a", "99999999999999999999:/a", "x:/a", "1:", "1:a", ""};
    struct iol_rule_list list = {0};
    struct iol_rule want = {.verdict = IOL_VERDICT_SAMPLE, .sample = 1000000, .path = "/a:1", .comm = "b"};

    (void)state;
    assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_SAMPLE, "1000000:/a:1 if comm=b", NULL), 0);
    assert_rule(&list.rules[0], &want);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(bad); i++)
        assert_true(iol_rule_text_add(&list, IOL_VERDICT_SAMPLE, bad[i], NULL) < 0);
    assert_int_equal(list.n, 1);
    iol_rule_text_done(&list);
}

/* "/aaa…" of that many bytes, or "*aaa…" with so many after the star. */
static char *long_text(char first, size_t length)
{
    char *text = malloc(length + 2);

    memset(text, 'a', length + 1);
    text[0] = first;
    text[first == '*' ? length + 1 : length] = '\0';
    return text;
}

static void lengths_are_bounded(void **state)
{
    static const struct {
        char first;
        size_t length;
        int r;
    } cases[] = {
        {'/', IOL_RULE_PATH_MAX - 1, 0},
        {'/', IOL_RULE_PATH_MAX, -ENAMETOOLONG},
        {'*', IOL_RULE_SUFFIX_MAX, 0},
        {'*', IOL_RULE_SUFFIX_MAX + 1, -ENAMETOOLONG},
    };

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *text = long_text(cases[i].first, cases[i].length);
        struct iol_rule_list list = {0};

        assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_IGNORE, text, NULL), cases[i].r);
        iol_rule_text_done(&list);
    }
}

static void their_number_is_bounded(void **state)
{
    struct iol_rule_list list = {0};
    struct iol_error err = {0};

    (void)state;
    for (size_t i = 0; i < IOL_RULES_MAX; i++)
        assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_IGNORE, "/a", NULL), 0);
    assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_IGNORE, "/a", &err), -E2BIG);
    assert_string_equal(err.text, "there are more than 64 rules");
    assert_int_equal(list.n, IOL_RULES_MAX);
    iol_rule_text_done(&list);
}

static void order_is_kept(void **state)
{
    struct iol_rule_list list = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_EVERY, "/a/b", NULL), 0);
    assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_SAMPLE, "10:/a/** if user=1", NULL), 0);
    assert_int_equal(iol_rule_text_add(&list, IOL_VERDICT_IGNORE, "/**", NULL), 0);
    assert_int_equal(list.rules[0].verdict, IOL_VERDICT_EVERY);
    assert_int_equal(list.rules[1].verdict, IOL_VERDICT_SAMPLE);
    assert_int_equal(list.rules[2].verdict, IOL_VERDICT_IGNORE);
    assert_string_equal(list.rules[2].path, "");
    iol_rule_text_print(&list, out);
    fclose(out);
    assert_string_equal(text, "--every /a/b --sample 10:/a/** if user=1 --ignore /** ");
    free(text);
    iol_rule_text_done(&list);
}

static void budgets_are_read(void **state)
{
    static const struct {
        const char *text;
        uint32_t all, process;
    } good[] = {
        {"20000/s", 20000, 20000},
        {"1/s,2/s", 1, 2},
        {"none", 0, 0},
        {"0", 0, 0},
        {"0/s", 0, 0},
        {"none,5/s", 0, 5},
        {"5/s,none", 5, 0},
        {"4294967295/s", UINT32_MAX, UINT32_MAX},
    };
    static const char *const bad[] = {"",   "20000",    "-1/s", "1/m", "1/s,", ",1/s", "1/s,2/s,3/s", "4294967296/s",
                                      "no", "nonesuch", "1 /s", "x/s"};

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(good); i++) {
        uint32_t all = 77, process = 77;

        assert_int_equal(iol_rule_text_budget(good[i].text, &all, &process, NULL), 0);
        assert_int_equal(all, good[i].all);
        assert_int_equal(process, good[i].process);
    }
    for (size_t i = 0; i < IOL_ARRAY_SIZE(bad); i++) {
        uint32_t all = 77, process = 77;

        assert_int_equal(iol_rule_text_budget(bad[i], &all, &process, NULL), -EINVAL);
        assert_int_equal(all, 77);
        assert_int_equal(process, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_read),       cmocka_unit_test(conditions_are_read),
        cmocka_unit_test(other_rules_are_refused), cmocka_unit_test(samples_have_a_number),
        cmocka_unit_test(lengths_are_bounded),     cmocka_unit_test(their_number_is_bounded),
        cmocka_unit_test(order_is_kept),           cmocka_unit_test(budgets_are_read),
    };

    return cmocka_run_group_tests_name("rule_text", tests, NULL, NULL);
}
