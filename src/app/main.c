// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/describe.h"
#include "app/output.h"
#include "base/cleanup.h"
#include "base/log.h"

static const struct iol_command commands[] = {
#ifdef IOL_HAVE_RECORD
    {"record", "record this machine, or one command, until Ctrl-C", "Record", iol_cmd_record},
    {"status", "what the running recorder does: rates, queue, losses, memory", "Record", iol_cmd_status},
    {"stop", "end the running recorder, and wait until everything is stored", "Record", iol_cmd_stop},
    {"top", "live: the busiest processes and files on this machine", "Watch", iol_cmd_top},
    {"tail", "live: execs, exits, forks and events as they come", "Watch", iol_cmd_tail},
#endif
    {"who", "which processes touched a file, or anything below a directory", "Ask", iol_cmd_who},
    {"files", "which files a process read or wrote, biggest first", "Ask", iol_cmd_files},
    {"timeline", "one file's story: who created, wrote, renamed, read and deleted it", "Ask", iol_cmd_timeline},
    {"diff", "two recordings or spans of time: what is in one and not in the other", "Ask", iol_cmd_diff},
    {"hot", "the directories and files that cost most", "Ask", iol_cmd_hot},
    {"tree", "which process started which, with arguments and exit status", "Ask", iol_cmd_tree},
    {"report", "write all of it as one page for a browser", "Ask", iol_cmd_report},
    {"fleet", "the hosts of this ledger: last seen, how far behind, rates, losses", "Check", iol_cmd_fleet},
    {"balance", "prove that the accounts equal the kernel's totals", "Check", iol_cmd_balance},
#ifdef IOL_HAVE_DOCTOR
    {"doctor", "what this kernel offers, what is missing, what follows from it", "Check", iol_cmd_doctor},
#endif
    {"schema", "print the tables as SQL", "Check", iol_cmd_schema},
    {"load", "store what was recorded elsewhere: spools, jsonl, refused batches", "Keep", iol_cmd_load},
    {"prune", "delete what is older than a time, and give the space back", "Keep", iol_cmd_prune},
};

static const char overview[] = "ioledger keeps the books of this machine: which process read or wrote which\n"
                               "file, how much, when, and who started it. Six things to begin with:\n"
                               "\n"
                               "  sudo ioledger record --duration 10s   record this machine, into ./ioledger.db\n"
                               "  ioledger files                        the files with the most bytes\n"
                               "  ioledger who /etc/passwd              every process that touched this file\n"
                               "  ioledger hot --depth 2                the directories that cost most\n"
                               "  ioledger tree                         who started whom, and how it ended\n"
                               "  sudo ioledger top                     live: who reads and writes right now\n"
                               "\n"
                               "'ioledger --help' lists all commands, 'ioledger COMMAND --help' explains one.\n";

static int show_help(void)
{
    const char *group = "";

    puts("Usage: ioledger COMMAND [OPTIONS]\n\n"
         "Keeps the books of a Linux machine: every exec, fork and exit, and every byte\n"
         "that a process reads from or writes to a file, in SQL.");
    for (size_t i = 0; i < IOL_ARRAY_SIZE(commands); i++) {
        if (strcmp(group, commands[i].group) != 0)
            printf("\n%s:\n", group = commands[i].group);
        printf("  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    puts("\n'ioledger COMMAND --help' explains a command.\n\n"
         "The ledger is --db URL (sqlite:PATH, postgresql://USER@HOST/DATABASE), else\n"
         "$IOLEDGER_DB, else sqlite:ioledger.db in the working directory.\n\n"
         "Exit status: 0 all is well; 1 failure, or nothing was found; 2 bad usage.");
    return IOL_EXIT_OK;
}

static const char *nth_command(const void *from, unsigned index)
{
    (void)from;
    return index < IOL_ARRAY_SIZE(commands) ? commands[index].name : NULL;
}

static int refuse(const char *word)
{
    const char *suggestion = *word == '-' ? NULL : iol_command_suggest(word, nth_command, NULL);

    if (*word == '-')
        iol_log_error("unknown option '%s': a command comes first, as in 'ioledger files --db URL'; "
                      "try 'ioledger --help'",
                      word);
    else if (suggestion)
        iol_log_error("unknown command '%s', did you mean '%s'? try 'ioledger --help'", word, suggestion);
    else
        iol_log_error("unknown command '%s': try 'ioledger --help'", word);
    return IOL_EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    static char help_option[] = "--help";

    if (argc < 2) {
        fputs(overview, stdout);
        return IOL_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("ioledger " IOL_VERSION);
        return IOL_EXIT_OK;
    }
    if (strcmp(argv[1], "--describe") == 0)
        return iol_describe_all(overview, commands, IOL_ARRAY_SIZE(commands), stdout) < 0 ? IOL_EXIT_FAILURE
                                                                                          : IOL_EXIT_OK;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (strcmp(argv[1], "help") == 0 && argc == 2))
        return show_help();
    /* 'help who' is 'who --help' */
    if (strcmp(argv[1], "help") == 0) {
        argv[1] = argv[2];
        argv[2] = help_option;
        argc = 3;
    }
    for (size_t i = 0; i < IOL_ARRAY_SIZE(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return refuse(argv[1]);
}

/*
 * A closed one would be the number of the next file that is opened, a ledger perhaps, and what is printed would go there.
 * What stands there instead refuses to be read and written, and a CMD does not get it.
 */
static void fill_standard_descriptors(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/", O_PATH | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    int status, r;

    fill_standard_descriptors();
    /* Only the character set: messages and numbers are the same everywhere. */
    setlocale(LC_CTYPE, "");
    status = run(argc, argv);

    r = iol_output_close(stdout);
    if (r < 0) {
        /* A reader that has seen enough is no error worth a message: `| head` on a shell that ignores SIGPIPE. */
        if (r != -EPIPE)
            iol_log_error("cannot write to standard output: %s", strerror(-r));
        return status == IOL_EXIT_OK ? IOL_EXIT_FAILURE : status;
    }
    return status;
}
