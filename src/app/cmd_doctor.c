// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/options.h"
#include "app/output.h"
#include "base/log.h"
#include "capture/capture.h"
#include "capture/features.h"

enum { DOCTOR_FEATURE, DOCTOR_STATE, DOCTOR_DETAIL, DOCTOR_CONSEQUENCE, DOCTOR_COLUMNS };

static const struct iol_output_column columns[DOCTOR_COLUMNS] = {
    [DOCTOR_FEATURE] = {"feature", "FEATURE", IOL_CELL_TEXT},
    [DOCTOR_STATE] = {"state", "STATE", IOL_CELL_TEXT},
    [DOCTOR_DETAIL] = {"detail", "FOUND", IOL_CELL_TEXT, IOL_SHORTEN_END, .least = 24},
    [DOCTOR_CONSEQUENCE] = {"consequence", NULL, IOL_CELL_TEXT}, /* in words below a table */
};

static const char *const states[] = {
    [IOL_FEATURE_OK] = "ok",
    [IOL_FEATURE_DEGRADED] = "degraded",
    [IOL_FEATURE_MISSING] = "missing",
};

static const struct iol_usage usage = {
    .summary = "Tells what this kernel offers for recording, what is missing, and what follows from it. The kernel "
               "itself is asked: programs are loaded and maps created, and removed again.",
    .details = "Examples:\n"
               "  sudo ioledger doctor\n"
               "  sudo ioledger doctor --format json\n\n"
               "Exit status: 0 recording works here; 1 it does not; 2 bad usage.",
    .common = IOL_COMMON_FORMAT,
};

static int print_features(const struct iol_feature *features, size_t n, enum iol_format format)
{
    struct iol_output *output;
    int r = iol_output_new(stdout, format, columns, DOCTOR_COLUMNS, &output);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        iol_output_set_text(output, DOCTOR_FEATURE, features[i].name);
        iol_output_set_text(output, DOCTOR_STATE, states[features[i].state]);
        iol_output_set_text(output, DOCTOR_DETAIL, features[i].detail);
        if (features[i].state != IOL_FEATURE_OK)
            iol_output_set_text(output, DOCTOR_CONSEQUENCE, features[i].consequence);
        if (features[i].state == IOL_FEATURE_MISSING)
            iol_output_set_alarm(output, DOCTOR_STATE);
        iol_output_row(output);
    }
    r = iol_output_finish(output);
    iol_output_free(output);
    return r;
}

static void print_verdict(const struct iol_feature *features, size_t n, bool missing)
{
    const char *probes = "tracepoint"; /* what --probes auto takes */

    putchar('\n');
    for (size_t i = 0; i < n; i++) {
        if (strcmp(features[i].name, "fexit") == 0 && features[i].state == IOL_FEATURE_OK)
            probes = "fexit";
        if (features[i].state != IOL_FEATURE_OK && features[i].consequence)
            printf("%s: %s.\n", features[i].name, features[i].consequence);
    }
    if (missing)
        puts("Recording does not work here.");
    else
        printf("Recording works here, with the %s probe set.\n", probes);
}

int iol_cmd_doctor(int argc, char **argv)
{
    struct iol_feature features[IOL_FEATURES_MAX];
    struct iol_options options;
    size_t n, missing = 0;
    int status;

    if (!iol_options_parse(&usage, argc, argv, NULL, &options, &status))
        return status;
    iol_capture_set_verbose(options.verbose);
    n = iol_features_probe(features);
    for (size_t i = 0; i < n; i++) {
        missing += features[i].state == IOL_FEATURE_MISSING;
    }
    if (print_features(features, n, options.format) < 0)
        return IOL_EXIT_FAILURE;
    if (options.format == IOL_FORMAT_TABLE)
        print_verdict(features, n, missing > 0);
    return missing ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}
