// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/rule_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/options.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"

#define SCOPE " if "
#define NEXT " and "
#define KIND_PREFIX "kind:"
#define WILDCARDS "*?["

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

/* Conditions. A rule has each of them once at most: what is there already was given before. */

static int given_twice(const char *key, struct iol_error *err)
{
    return iol_error_set(err, -EINVAL, "%s is given twice in one rule; write a rule for each", key);
}

static int take_comm(struct iol_rule *rule, struct iol_arena *arena, const char *value, struct iol_error *err)
{
    if (rule->comm)
        return given_twice("comm=", err);
    /* the kernel keeps 15 bytes of a name; so does the rule */
    rule->comm = iol_arena_dup(arena, value, strnlen(value, IOL_COMM_MAX - 1));
    return rule->comm ? 0 : no_memory(err);
}

static int take_exe(struct iol_rule *rule, struct iol_arena *arena, const char *value, struct iol_error *err)
{
    _cleanup_free_ char *path = NULL;
    int r;

    if (rule->exe)
        return given_twice("exe=", err);
    if (value[0] != '/')
        return iol_error_set(err, -EINVAL, "exe=%s is not an absolute path", value);
    r = iol_option_exe(value, &path, err);
    if (r < 0)
        return r;
    rule->exe = iol_arena_dup(arena, path, strlen(path));
    return rule->exe ? 0 : no_memory(err);
}

static int take_user(struct iol_rule *rule, struct iol_arena *arena, const char *value, struct iol_error *err)
{
    (void)arena;
    if (rule->has_uid)
        return given_twice("user=", err);
    rule->has_uid = true;
    return iol_option_user(value, &rule->uid, err);
}

/* One kind or several, with commas between them. */
static int take_kind(struct iol_rule *rule, struct iol_arena *arena, const char *value, struct iol_error *err)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } kinds[] = {
        {"file", 1U << IOL_ABI_KIND_FILE},   {"dir", 1U << IOL_ABI_KIND_DIR},
        {"link", 1U << IOL_ABI_KIND_LINK},   {"chr", 1U << IOL_ABI_KIND_CHR},
        {"blk", 1U << IOL_ABI_KIND_BLK},     {"dev", 1U << IOL_ABI_KIND_CHR | 1U << IOL_ABI_KIND_BLK},
        {"pipe", 1U << IOL_ABI_KIND_PIPE},   {"socket", 1U << IOL_ABI_KIND_SOCKET},
        {"anon", 1U << IOL_ABI_KIND_ANON},   {"memfd", 1U << IOL_ABI_KIND_MEMFD},
        {"other", 1U << IOL_ABI_KIND_OTHER},
    };

    (void)arena;
    if (rule->kinds)
        return given_twice("the kind", err);
    for (const char *word = value; word;) {
        size_t length = strcspn(word, ","), i;

        for (i = 0; i < IOL_ARRAY_SIZE(kinds); i++) {
            if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, word, length) == 0)
                break;
        }
        if (i == IOL_ARRAY_SIZE(kinds))
            return iol_error_set(err, -EINVAL,
                                 "'%.*s' is no kind; kinds are file,dir,link,chr,blk,pipe,socket,anon,memfd,other, and "
                                 "dev for chr and blk",
                                 (int)length, word);
        rule->kinds |= kinds[i].bits;
        word = word[length] ? word + length + 1 : NULL;
    }
    return 0;
}

static const struct condition {
    const char *key;
    int (*take)(struct iol_rule *rule, struct iol_arena *arena, const char *value, struct iol_error *err);
} conditions[] = {{"comm=", take_comm}, {"exe=", take_exe}, {"user=", take_user}, {"kind=", take_kind}};

/* The condition that the text begins with, or NULL. */
static const struct condition *condition_at(const char *text)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(conditions); i++) {
        if (strncmp(text, conditions[i].key, strlen(conditions[i].key)) == 0)
            return &conditions[i];
    }
    return NULL;
}

/* Where the conditions begin: at the last " if " that is followed by one; any other belongs to the name of a file. */
static char *find_scope(char *text)
{
    char *found = NULL;

    for (char *at = strstr(text, SCOPE); at; at = strstr(at + 1, SCOPE)) {
        if (condition_at(at + strlen(SCOPE)))
            found = at;
    }
    return found;
}

/* The next " and " before something of the form KEY=; any other belongs to the value before it. */
static char *find_next(char *text)
{
    for (char *at = strstr(text, NEXT); at; at = strstr(at + 1, NEXT)) {
        const char *key = at + strlen(NEXT);
        size_t length = strspn(key, "abcdefghijklmnopqrstuvwxyz");

        if (length > 0 && key[length] == '=')
            return at;
    }
    return NULL;
}

static int take_conditions(struct iol_rule *rule, struct iol_arena *arena, char *text, struct iol_error *err)
{
    while (text) {
        const struct condition *condition = condition_at(text);
        char *next = find_next(text);
        int r;

        if (next)
            *next = '\0';
        if (!condition)
            return iol_error_set(err, -EINVAL,
                                 "'%s' is no condition; conditions are comm=, exe=, user= and kind=", text);
        if (!text[strlen(condition->key)])
            return iol_error_set(err, -EINVAL, "there is nothing after '%s'", condition->key);
        r = condition->take(rule, arena, text + strlen(condition->key), err);
        if (r < 0)
            return r;
        text = next ? next + strlen(NEXT) : NULL;
    }
    return 0;
}

/* Patterns */

static int no_pattern(const char *text, struct iol_error *err)
{
    return iol_error_set(
        err, -EINVAL,
        "'%s' is no pattern; patterns are /PATH, /DIR/**, *SUFFIX, /DIR/**/*SUFFIX and kind:KIND, with "
        "a backslash before a * ? [ or \\ that belongs to a name",
        text);
}

/* The first wildcard that has no backslash before it; or the end. */
static const char *find_wildcard(const char *text)
{
    while (*text && !strchr(WILDCARDS, *text))
        text += text[0] == '\\' && text[1] ? 2 : 1;
    return text;
}

/* A part of the pattern as the name it stands for; NULL with *err. */
static char *copy_name(struct iol_arena *arena, const char *text, size_t length, struct iol_error *err)
{
    char *name = iol_arena_alloc(arena, length + 1);
    size_t n = 0;

    if (!name) {
        no_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\') {
            i++;
            if (i == length || !strchr(WILDCARDS "\\", text[i])) {
                iol_error_set(err, -EINVAL,
                              "'%.*s': a backslash stands before * ? [ or another one; write \\\\ for a backslash",
                              (int)length, text);
                return NULL;
            }
        }
        name[n++] = text[i];
    }
    name[n] = '\0';
    return name;
}

/* Whether the kernel could ever tell of such a path. */
static int check_path(const char *path, struct iol_error *err)
{
    size_t length = strlen(path);

    if (length > IOL_RULE_PATH_MAX - 1)
        return iol_error_set(err, -ENAMETOOLONG, "the path is longer than %d bytes: '%s'", IOL_RULE_PATH_MAX - 1, path);
    if (length > 1 && path[length - 1] == '/')
        return iol_error_set(err, -EINVAL, "'%s' ends in '/'; for everything below it write '%s**'", path, path);
    for (const char *at = path; (at = strchr(at, '/')); at++) {
        size_t name = strcspn(at + 1, "/");

        if ((name == 0 && at[1]) || (name == 1 && at[1] == '.') || (name == 2 && strncmp(at + 1, "..", 2) == 0))
            return iol_error_set(err, -EINVAL, "'%s' has '//', '/.' or '/..' in it, which no path of a file has", path);
    }
    return 0;
}

static int take_path(struct iol_rule *rule, struct iol_arena *arena, const char *text, size_t length,
                     struct iol_error *err)
{
    rule->path = copy_name(arena, text, length, err);
    return rule->path ? check_path(rule->path, err) : -EINVAL;
}

/* What follows the star of a suffix. */
static int take_suffix(struct iol_rule *rule, struct iol_arena *arena, const char *whole, const char *text,
                       struct iol_error *err)
{
    if (!*text || *find_wildcard(text) || strchr(text, '/'))
        return no_pattern(whole, err);
    rule->suffix = copy_name(arena, text, strlen(text), err);
    if (!rule->suffix)
        return -EINVAL;
    if (strlen(rule->suffix) > IOL_RULE_SUFFIX_MAX)
        return iol_error_set(err, -ENAMETOOLONG, "what follows the * is longer than %d bytes: '%s'",
                             IOL_RULE_SUFFIX_MAX, whole);
    return 0;
}

static int take_pattern(struct iol_rule *rule, struct iol_arena *arena, const char *text, struct iol_error *err)
{
    const char *star = find_wildcard(text);
    int r;

    if (!*text)
        return iol_error_set(err, -EINVAL, "the pattern is empty");
    if (strncmp(text, KIND_PREFIX, strlen(KIND_PREFIX)) == 0)
        return take_kind(rule, arena, text + strlen(KIND_PREFIX), err);
    if (text[0] == '*')
        return take_suffix(rule, arena, text, text + 1, err);
    if (text[0] != '/' && *star)
        return no_pattern(text, err);
    if (text[0] != '/')
        return iol_error_set(err, -EINVAL, "'%s' is not an absolute path", text);
    if (!*star)
        return take_path(rule, arena, text, strlen(text), err);
    if (star[-1] != '/' || strncmp(star, "**", 2) != 0 || (star[2] && strncmp(star + 2, "/*", 2) != 0))
        return no_pattern(text, err);
    rule->tree = true;
    r = take_path(rule, arena, text, (size_t)(star - 1 - text), err);
    if (r == 0 && star[2])
        r = take_suffix(rule, arena, text, star + strlen("**/*"), err);
    return r;
}

/* "N:" of a sample; moves *text behind it. */
static int take_sample(struct iol_rule *rule, const char **text, struct iol_error *err)
{
    size_t digits = strspn(*text, "0123456789");
    unsigned long n = strtoul(*text, NULL, 10); /* too many digits make ULONG_MAX */

    if (digits == 0 || (*text)[digits] != ':')
        return iol_error_set(err, -EINVAL, "'%s' is not N:PATTERN, such as 100:/etc/**", *text);
    if (n < 1 || n > IOL_CAPTURE_MAX_SAMPLE)
        return iol_error_set(err, -ERANGE, "one in '%.*s' is not possible; N is from 1 to %u", (int)digits, *text,
                             IOL_CAPTURE_MAX_SAMPLE);
    rule->sample = (uint32_t)n;
    *text += digits + 1;
    return 0;
}

static int parse_rule(struct iol_rule *rule, struct iol_arena *arena, const char *text, struct iol_error *err)
{
    char *copy, *scope;
    int r = rule->verdict == IOL_VERDICT_SAMPLE ? take_sample(rule, &text, err) : 0;

    if (r < 0)
        return r;
    copy = iol_arena_dup(arena, text, strlen(text));
    if (!copy)
        return no_memory(err);
    scope = find_scope(copy);
    if (scope)
        *scope = '\0';
    r = take_pattern(rule, arena, copy, err);
    return r == 0 && scope ? take_conditions(rule, arena, scope + strlen(SCOPE), err) : r;
}

static int make_room(struct iol_rule_list *list, struct iol_error *err)
{
    if (list->n == IOL_RULES_MAX)
        return iol_error_set(err, -E2BIG, "there are more than %d rules", IOL_RULES_MAX);
    if (!list->arena)
        list->arena = iol_arena_new();
    return list->arena ? 0 : no_memory(err);
}

int iol_rule_text_add(struct iol_rule_list *list, enum iol_verdict verdict, const char *text, struct iol_error *err)
{
    struct iol_rule rule = {.verdict = verdict};
    int r = make_room(list, err);

    if (r < 0)
        return r;
    r = parse_rule(&rule, list->arena, text, err);
    if (r < 0)
        return r;
    list->texts[list->n] = iol_arena_dup(list->arena, text, strlen(text));
    if (!list->texts[list->n])
        return no_memory(err);
    list->rules[list->n++] = rule;
    return 0;
}

const char *iol_rule_text_doubt(const char *text)
{
    const char *found = NULL;

    for (const char *at = strstr(text, SCOPE); at; at = strstr(at + 1, SCOPE)) {
        if (condition_at(at + strlen(SCOPE)))
            return NULL;
        found = at;
    }
    return found;
}

void iol_rule_text_done(struct iol_rule_list *list)
{
    iol_arena_free(list->arena);
    *list = (struct iol_rule_list){0};
}

void iol_rule_text_print(const struct iol_rule_list *list, FILE *out)
{
    static const char *const options[] = {
        [IOL_VERDICT_EVERY] = "every", [IOL_VERDICT_SAMPLE] = "sample", [IOL_VERDICT_IGNORE] = "ignore"};

    for (size_t i = 0; i < list->n; i++)
        fprintf(out, "--%s %s ", options[list->rules[i].verdict], list->texts[i]);
}

/* "N/s", "0" or "none", up to a comma or the end; moves *text there. */
static bool take_budget(const char **text, uint32_t *ret_budget)
{
    size_t digits = strspn(*text, "0123456789");
    unsigned long n = strtoul(*text, NULL, 10);

    if (strncmp(*text, "none", 4) == 0) {
        *text += 4;
        *ret_budget = 0;
        return true;
    }
    if (digits == 0 || n > UINT32_MAX)
        return false;
    *text += digits;
    *ret_budget = (uint32_t)n;
    if (strncmp(*text, "/s", 2) == 0)
        *text += 2;
    else if (n != 0)
        return false;
    return true;
}

int iol_rule_text_budget(const char *text, uint32_t *ret_all, uint32_t *ret_process, struct iol_error *err)
{
    const char *at = text;
    uint32_t all, process;
    bool good = take_budget(&at, &all);

    process = all;
    if (good && *at == ',') {
        at++;
        good = take_budget(&at, &process);
    }
    if (!good || *at)
        return iol_error_set(err, -EINVAL,
                             "'%s' is no budget of events; write N/s (of all processes), N/s,M/s (of all, of one), or "
                             "none",
                             text);
    *ret_all = all;
    *ret_process = process;
    return 0;
}
