// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A command is one file, cmd_NAME.c, and one entry in the table in main.c. argv[0] is the command's
 * name; the return value is the exit status. What a command prints on stdout is checked by main() when it returns.
 */
struct iol_error;

enum iol_exit {
    IOL_EXIT_OK = 0,
    IOL_EXIT_FAILURE = 1, /* also: nothing was found, the books do not balance */
    IOL_EXIT_USAGE = 2,
};

struct iol_command {
    const char *name;
    const char *summary; /* one line, no full stop */
    const char *group;   /* heading in --help; commands of one group stand together */
    int (*run)(int argc, char **argv);
};

int iol_cmd_balance(int argc, char **argv);
int iol_cmd_diff(int argc, char **argv);
int iol_cmd_doctor(int argc, char **argv);
int iol_cmd_prune(int argc, char **argv);
int iol_cmd_files(int argc, char **argv);
int iol_cmd_fleet(int argc, char **argv);
int iol_cmd_hot(int argc, char **argv);
int iol_cmd_load(int argc, char **argv);
int iol_cmd_record(int argc, char **argv);
int iol_cmd_report(int argc, char **argv);
int iol_cmd_schema(int argc, char **argv);
int iol_cmd_status(int argc, char **argv);
int iol_cmd_stop(int argc, char **argv);
int iol_cmd_tail(int argc, char **argv);
int iol_cmd_timeline(int argc, char **argv);
int iol_cmd_top(int argc, char **argv);
int iol_cmd_tree(int argc, char **argv);
int iol_cmd_who(int argc, char **argv);

/* Prints the error and its hint on stderr; returns IOL_EXIT_FAILURE. */
int iol_command_fail(const struct iol_error *err);

/*
 * The word nearest to what was typed, for "did you mean", or NULL when none is near. `next` returns
 * the candidates one by one and then NULL; `index` counts them from 0.
 */
const char *iol_command_suggest(const char *typed, const char *(*next)(const void *from, unsigned index),
                                const void *from);
