// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/record_print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/record_config.h"
#include "app/record_options.h"
#include "app/record_words.h"
#include "base/cleanup.h"
#include "base/error.h"

#define BLANKS " \t\r\v\f"

struct printer {
    const struct iol_record_options *options;
    const char *name; /* of the option at hand */
    FILE *to;
    struct iol_error *err;
    int failed; /* -errno */
};

/* As it is read: blanks around a value are not part of it, and it ends with the line. */
static void print_text(struct printer *printer, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (!text || printer->failed)
        return;
    if (length == 0 || strchr(text, '\n') || strchr(BLANKS, text[0]) || strchr(BLANKS, text[length - 1]))
        printer->failed = iol_error_set(
            printer->err, -EINVAL, "--%s: '%s' cannot stand in a configuration file: a newline, or blanks at its ends",
            printer->name, text);
    else
        fprintf(printer->to, "%s = %s\n", printer->name, text);
}

static void print_texts(struct printer *printer, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        print_text(printer, texts[i]);
}

static void print_number(struct printer *printer, int64_t number, const char *unit)
{
    fprintf(printer->to, "%s = %" PRId64 "%s\n", printer->name, number, unit);
}

/* In the largest unit that needs no fraction. */
static void print_duration(struct printer *printer, int64_t ns)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"d", 86400000000000LL},
                 {"h", 3600000000000LL},
                 {"m", 60000000000LL},
                 {"s", 1000000000LL},
                 {"ms", 1000000LL},
                 {"us", 1000LL},
                 {"ns", 1}};
    size_t i = 0;

    if (ns == 0)
        return;
    while (ns % units[i].ns != 0)
        i++;
    print_number(printer, ns / units[i].ns, units[i].name);
}

static void print_size(struct printer *printer, int64_t bytes)
{
    static const char *const units[] = {"", "k", "M", "G"};
    size_t i = 0;

    while (i + 1 < IOL_ARRAY_SIZE(units) && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    print_number(printer, bytes, units[i]);
}

static void print_words(struct printer *printer, enum iol_record_words which, uint32_t value)
{
    fprintf(printer->to, "%s = ", printer->name);
    iol_record_words_print(which, value, printer->to);
    fputc('\n', printer->to);
}

static void print_db(struct printer *printer)
{
    print_text(printer, printer->options->common.db);
}

static void print_quiet(struct printer *printer)
{
    print_text(printer, printer->options->common.quiet ? "yes" : "no");
}

static void print_pids(struct printer *printer)
{
    for (size_t i = 0; i < printer->options->n_pids; i++)
        print_number(printer, printer->options->pids[i], "");
}

static void print_comms(struct printer *printer)
{
    print_texts(printer, printer->options->comms, printer->options->n_comms);
}

static void print_uids(struct printer *printer)
{
    for (size_t i = 0; i < printer->options->n_uids; i++)
        print_number(printer, printer->options->uids[i], "");
}

static void print_exes(struct printer *printer)
{
    print_texts(printer, printer->options->exes, printer->options->n_exes);
}

static void print_cgroups(struct printer *printer)
{
    print_texts(printer, printer->options->cgroups, printer->options->n_cgroups);
}

static void print_containers(struct printer *printer)
{
    print_texts(printer, printer->options->containers, printer->options->n_containers);
}

static void print_kinds(struct printer *printer)
{
    print_words(printer, IOL_RECORD_KINDS, printer->options->kinds);
}

static void print_events(struct printer *printer)
{
    print_words(printer, IOL_RECORD_EVENTS, printer->options->events);
}

static void print_probes(struct printer *printer)
{
    print_words(printer, IOL_RECORD_PROBES,
                (uint32_t)printer->options->probes | (printer->options->legacy_probes ? IOL_RECORD_LEGACY_PROBES : 0));
}

static void print_spool_sync(struct printer *printer)
{
    print_words(printer, IOL_RECORD_SPOOL_SYNC, (uint32_t)printer->options->spool_sync);
}

/* All rules, where the first kind of them has its place: their order matters. */
static void print_rules(struct printer *printer)
{
    static const char *const names[] = {
        [IOL_VERDICT_IGNORE] = "ignore", [IOL_VERDICT_EVERY] = "every", [IOL_VERDICT_SAMPLE] = "sample"};
    const struct iol_rule_list *list = &printer->options->rules.list;

    for (size_t i = 0; i < list->n; i++) {
        printer->name = names[list->rules[i].verdict];
        print_text(printer, list->texts[i]);
    }
}

static void print_budget(struct printer *printer)
{
    const struct iol_record_rules *rules = &printer->options->rules;
    char all[16] = "none", one[16] = "none";

    if (rules->event_budget)
        snprintf(all, sizeof(all), "%" PRIu32 "/s", rules->event_budget);
    if (rules->event_budget_process)
        snprintf(one, sizeof(one), "%" PRIu32 "/s", rules->event_budget_process);
    fprintf(printer->to, "%s = %s,%s\n", printer->name, all, one);
}

static void print_interval(struct printer *printer)
{
    print_duration(printer, printer->options->interval_ns);
}

static void print_recording_duration(struct printer *printer)
{
    print_duration(printer, printer->options->duration_ns);
}

static void print_max_accounts(struct printer *printer)
{
    print_number(printer, printer->options->max_accounts, "");
}

static void print_control(struct printer *printer)
{
    print_text(printer, printer->options->control);
}

static void print_metrics(struct printer *printer)
{
    print_text(printer, printer->options->metrics);
}

static void print_spool(struct printer *printer)
{
    print_text(printer, printer->options->spool);
}

static void print_spool_max(struct printer *printer)
{
    print_size(printer, printer->options->spool_max);
}

static void print_pin(struct printer *printer)
{
    print_text(printer, printer->options->pin);
}

static const struct {
    const char *name;
    void (*print)(struct printer *printer); /* nothing: it is off */
} settings[] = {
    {"db", print_db},
    {"quiet", print_quiet},
    {"pid", print_pids},
    {"comm", print_comms},
    {"uid", print_uids},
    {"exe", print_exes},
    {"cgroup", print_cgroups},
    {"container", print_containers},
    {"kinds", print_kinds},
    {"events", print_events},
    {"ignore", print_rules},
    {"event-budget", print_budget},
    {"interval", print_interval},
    {"duration", print_recording_duration},
    {"max-accounts", print_max_accounts},
    {"probes", print_probes},
    {"control", print_control},
    {"metrics", print_metrics},
    {"spool", print_spool},
    {"spool-max", print_spool_max},
    {"spool-sync", print_spool_sync},
    {"pin", print_pin},
};

/* What stands in the file if the option is off. */
static void print_off(FILE *to, const struct iol_usage *usage, const char *text)
{
    for (const struct argp_option *option = usage->options; option->name || option->doc; option++) {
        char name[64];

        if (!option->name || !iol_record_config_has(option->name))
            continue;
        snprintf(name, sizeof(name), "\n%s = ", option->name);
        if (!strstr(text, name))
            fprintf(to, "#%s = %s\n", option->name, option->arg ? option->arg : "yes");
    }
}

int iol_record_print(const struct iol_usage *usage, const struct iol_record_options *options, FILE *to,
                     struct iol_error *err)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    struct printer printer = {.options = options, .to = open_memstream(&text, &size), .err = err};

    if (!printer.to)
        return iol_error_set(err, -ENOMEM, "out of memory");
    fputs("# The settings of `ioledger record`, for --config. What is off stands at the end, behind a #.\n",
          printer.to);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(settings); i++) {
        printer.name = settings[i].name;
        settings[i].print(&printer);
    }
    if (fclose(printer.to) != 0 || !text)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (printer.failed)
        return printer.failed;
    fputs(text, to);
    print_off(to, usage, text);
    return 0;
}
