// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/prune.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "core/model.h"
#include "store/prune_driver.h"
#include "store/schema_sql.h"
#include "store/url.h"

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000
#define NS_PER_HOUR (INT64_C(3600) * 1000000000)

/*
 * A recorder may refer to a file whose row it sent, or whose account it used, twice as long ago as it calls a file idle; the
 * rest is for good measure. A host whose newest interval is not so far beyond what is pruned keeps its files.
 */
#define BELIEVED_NS ((int64_t)(2 * IOL_MODEL_IDLE_NS) + NS_PER_HOUR)

/* A file's row may come an interval or two before the row of io for which it came: so many are waited for. */
#define INTERVALS "3"
#define WAIT_MS_MIN 5000
#define WAIT_MS_MAX 120000

/* The newest batches of each boot stay whatever their age: a recorder may not know yet that they have arrived. */
#define BATCHES_KEPT "256"
#define BATCHES_PER_STEP "2000"

struct pruning {
    struct iol_prune *prune;
    const struct iol_prune_ops *ops;
    struct iol_prune_result *result;
    char before[32];   /* facts of earlier times go */
    char believed[32]; /* newest interval that a host must have, so that its files may go */
};

/* Does something with SQL that is put together from a format. */
static int execute(struct pruning *pruning, struct iol_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int number(struct pruning *pruning, uint64_t *ret_number, struct iol_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

static int execute(struct pruning *pruning, struct iol_error *err, const char *format, ...)
{
    _cleanup_free_ char *sql = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&sql, format, ap);
    va_end(ap);
    return n < 0 ? no_memory(err) : pruning->ops->execute(pruning->prune, sql, err);
}

static int number(struct pruning *pruning, uint64_t *ret_number, struct iol_error *err, const char *format, ...)
{
    _cleanup_free_ char *sql = NULL, *text = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&sql, format, ap);
    va_end(ap);
    int r = n < 0 ? no_memory(err) : pruning->ops->text(pruning->prune, sql, &text, err);
    if (r == 0)
        *ret_number = text ? strtoull(text, NULL, 10) : 0;
    return r;
}

static void tell(struct iol_prune *prune)
{
    prune->progress.rows = 0;
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        prune->progress.rows += prune->result->rows[i];
    if (prune->options->progress)
        prune->options->progress(prune->options->arg, &prune->progress);
}

void iol_prune_begin(struct iol_prune *prune, const char *doing)
{
    prune->progress.doing = doing;
    prune->progress.part = -1;
    tell(prune);
}

void iol_prune_reached(struct iol_prune *prune, double part)
{
    prune->progress.part = part < 0 ? 0 : part > 1 ? 1 : part;
}

void iol_prune_reached_time(struct iol_prune *prune, const char *time)
{
    int64_t before_s = prune->options->before / NS_PER_S;
    struct tm tm = {.tm_mday = 1};

    if (sscanf(time, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) <
        3)
        return;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t at_s = timegm(&tm);
    if (prune->first_s == 0)
        prune->first_s = at_s;
    else if (before_s > prune->first_s)
        iol_prune_reached(prune, (double)(at_s - prune->first_s) / (double)(before_s - prune->first_s));
}

void iol_prune_count_step(struct iol_prune *prune, uint64_t began_ns)
{
    uint64_t took = iol_monotonic_ns() - began_ns;

    prune->result->steps++;
    if (prune->result->longest_ns < took)
        prune->result->longest_ns = took;
    tell(prune);
}

/*
 * Hosts with a recorder: a recording of the boot that ran last has not ended. dead_before: what ran in an earlier boot ended by then.
 * newest: the end of the last interval. ready: its files and processes may be judged.
 */
static const char create_hosts[] =
    "CREATE TEMP TABLE prune_host AS SELECT h.id AS host_id,"
    " (SELECT max(x.ts) FROM (SELECT b.ts AS ts FROM batch b WHERE b.host_id = h.id AND b.boot_id <> h.boot_id"
    "  UNION ALL SELECT r.started FROM recording r WHERE r.host_id = h.id AND r.boot_id <> h.boot_id) x) AS "
    "dead_before,"
    " (SELECT max(t.ts) FROM total t WHERE t.host_id = h.id) AS newest, 0 AS ready"
    " FROM host h WHERE EXISTS (SELECT 1 FROM recording r WHERE r.host_id = h.id AND r.boot_id = h.boot_id"
    "  AND r.ended IS NULL)";

static int make_hosts(struct pruning *pruning, struct iol_error *err)
{
    int r = execute(pruning, err, "CREATE TEMP TABLE prune_recording AS SELECT id FROM recording");

    return r == 0 ? execute(pruning, err, "%s", create_hosts) : r;
}

/* Whose newest interval is late enough: they may become ready. */
#define UP_TO_DATE "newest >= '%1$s'"
#define INTERVALS_SINCE "(SELECT count(DISTINCT t.ts) FROM total t WHERE t.host_id = p.host_id AND t.ts > p.newest)"

/* Waits for rows of io that the rows of their files came before. Who writes nothing meanwhile does not get ready. */
static int wait_for_hosts(struct pruning *pruning, struct iol_error *err)
{
    uint64_t hosts, waiting, interval_ms, began = iol_monotonic_ns();
    int r = number(pruning, &hosts, err, "SELECT count(*) FROM prune_host p WHERE " UP_TO_DATE, pruning->believed);

    if (r < 0 || hosts == 0)
        return r;
    r = number(pruning, &interval_ms, err,
               "SELECT max(t.interval_ms) FROM prune_host p JOIN total t ON t.host_id = p.host_id AND t.ts = p.newest");
    uint64_t wait_ms = 4 * interval_ms < WAIT_MS_MIN ? WAIT_MS_MIN : 4 * interval_ms;
    while (r == 0 && wait_ms <= WAIT_MS_MAX && iol_monotonic_ns() - began < wait_ms * NS_PER_MS) {
        r = number(pruning, &waiting, err,
                   "SELECT count(*) FROM prune_host p WHERE " UP_TO_DATE " AND " INTERVALS_SINCE " < " INTERVALS,
                   pruning->believed);
        if (r < 0 || waiting == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 100 * NS_PER_MS}, NULL);
    }
    if (r < 0)
        return r;
    return execute(pruning, err,
                   "UPDATE prune_host AS p SET ready = 1 WHERE " UP_TO_DATE " AND " INTERVALS_SINCE " >= " INTERVALS,
                   pruning->believed);
}

static int name_left_alone(struct pruning *pruning, struct iol_error *err)
{
    uint64_t n;
    int r = number(pruning, &n, err, "SELECT count(*) FROM prune_host WHERE ready = 0");
    char *out = pruning->result->left_alone;
    const size_t size = sizeof(pruning->result->left_alone);

    for (uint64_t i = 0; i < n && i < 4 && r == 0; i++) {
        _cleanup_free_ char *name = NULL;
        char sql[200];
        snprintf(sql, sizeof(sql),
                 "SELECT coalesce(h.name, '(no name)') FROM prune_host p JOIN host h ON h.id = p.host_id"
                 " WHERE p.ready = 0 ORDER BY h.name LIMIT 1 OFFSET %d",
                 (int)i);
        r = pruning->ops->text(pruning->prune, sql, &name, err);
        if (r == 0 && name)
            snprintf(out + strlen(out), size - strlen(out), "%s%.40s", i ? ", " : "", name);
    }
    if (r == 0 && n > 4)
        snprintf(out + strlen(out), size - strlen(out), " and %" PRIu64 " more", n - 4);
    return r;
}

/* Of hosts that nobody records, or that are ready; and no recorder has come that was not there when they were looked at. */
#define MAY_GO(row)                                                                                                    \
    row ".host_id NOT IN (SELECT host_id FROM prune_host WHERE ready = 0)"                                             \
        " AND " row ".host_id NOT IN (SELECT r.host_id FROM recording r"                                               \
        " WHERE r.id NOT IN (SELECT id FROM prune_recording))"

/* Pseudo files, such as (other files), have no inode, and a recorder never forgets them. */
#define IS_REAL "(f.inode IS NULL OR f.inode <> 0 OR f.host_id NOT IN (SELECT host_id FROM prune_host))"

#define NO_FACT(io, where)                                                                                             \
    "NOT EXISTS (SELECT 1 FROM " io " x WHERE x.file_id = f.id" where ")"                                              \
    " AND NOT EXISTS (SELECT 1 FROM event x WHERE x.file_id = f.id" where ")"                                          \
    " AND NOT EXISTS (SELECT 1 FROM event x WHERE x.other_file_id = f.id" where ")"

static int doom_files(struct pruning *pruning, struct iol_error *err)
{
    return execute(pruning, err,
                   "CREATE TEMP TABLE doomed_file AS SELECT row_number() OVER (ORDER BY f.id) AS n, f.id AS id"
                   " FROM " IOL_CANDIDATE_TABLE " c JOIN file f ON f.id = c.id"
                   " WHERE " MAY_GO("f") " AND " IS_REAL " AND " NO_FACT("%s", ""),
                   pruning->ops->io);
}

/*
 * A process is all images with its pid and start; it has ended when one of them has a row in process_exit. Kept are those that a
 * fact refers to, that ended (or of which nothing better is known: began) too late to go, or that may still run under the eyes of
 * a recorder; and all their ancestors. %1$s: where facts are looked for; %2$s: the time.
 */
#define KEPT_PROCESSES                                                                                                 \
    "WITH RECURSIVE ended(host_id, pid, start_time, ts) AS ("                                                          \
    "SELECT p.host_id, p.pid, p.start_time, max(x.ts) FROM process_exit x JOIN process p ON p.id = x.process_id"       \
    " GROUP BY p.host_id, p.pid, p.start_time),"                                                                       \
    " used(id) AS (SELECT process_id FROM %1$s UNION SELECT process_id FROM event WHERE process_id IS NOT NULL"        \
    " AND ts >= '%2$s'),"                                                                                              \
    " kept(id) AS (SELECT p.id FROM process p LEFT JOIN used u ON u.id = p.id LEFT JOIN ended e"                       \
    " ON e.host_id = p.host_id AND e.pid = p.pid AND e.start_time = p.start_time"                                      \
    " LEFT JOIN prune_host h ON h.host_id = p.host_id"                                                                 \
    " WHERE u.id IS NOT NULL OR CASE WHEN e.ts IS NOT NULL THEN e.ts >= '%2$s'"                                        \
    " WHEN h.host_id IS NOT NULL AND (h.dead_before IS NULL OR p.start_time IS NULL OR p.start_time > h.dead_before)"  \
    " THEN 1 = 1 ELSE coalesce(p.exec_time, p.start_time, '0001-01-01') >= '%2$s' END"                                 \
    " UNION SELECT p.parent_id FROM kept k JOIN process p ON p.id = k.id WHERE p.parent_id IS NOT NULL)"

static int doom_processes(struct pruning *pruning, struct iol_error *err)
{
    return execute(pruning, err,
                   "CREATE TEMP TABLE doomed_process AS " KEPT_PROCESSES
                   " SELECT row_number() OVER (ORDER BY p.id) AS n, p.id AS id FROM process p"
                   " WHERE p.id NOT IN (SELECT id FROM kept) AND " MAY_GO("p"),
                   pruning->ops->io, pruning->before);
}

/* Runs statements of which each takes the bounds of a step, over all of a table of the doomed. */
static int run_steps(struct pruning *pruning, const char *doomed, const char *const *formats, size_t n_formats,
                     uint64_t *const *counts, struct iol_error *err)
{
    uint64_t last;
    int r = number(pruning, &last, err, "SELECT max(n) FROM %s", doomed);

    for (uint64_t from = 1; r == 0 && from <= last; from += pruning->ops->per_step) {
        char *sql[4] = {0};
        uint64_t changes[4] = {0};
        for (size_t i = 0; i < n_formats && r == 0; i++) {
            /* The formats are ours. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            if (asprintf(&sql[i], formats[i], from, from + pruning->ops->per_step - 1, pruning->ops->io) < 0)
                r = no_memory(err);
#pragma GCC diagnostic pop
        }
        const struct iol_prune_step step = {(const char *const *)sql, n_formats, changes};
        if (r == 0)
            r = pruning->ops->step(pruning->prune, &step, err);
        for (size_t i = 0; i < n_formats; i++) {
            free(sql[i]);
            if (counts[i])
                *counts[i] += changes[i];
        }
    }
    return r;
}

#define STEP(doomed) "(SELECT id FROM " doomed " WHERE n BETWEEN %1$" PRIu64 " AND %2$" PRIu64 ")"

static int delete_files(struct pruning *pruning, struct iol_error *err)
{
    static const char *const formats[] = {
        "DELETE FROM file AS f WHERE f.id IN " STEP("doomed_file") " AND f.id IN (SELECT id FROM " IOL_CANDIDATE_TABLE
                                                                   ") AND " MAY_GO("f") " AND " NO_FACT("%3$s", ""),
        "DELETE FROM " IOL_CANDIDATE_TABLE " WHERE id IN " STEP("doomed_file"),
    };
    uint64_t *const counts[] = {&pruning->result->rows[IOL_TABLE_FILE], NULL};
    int r = doom_files(pruning, err);

    if (r == 0)
        r = run_steps(pruning, "doomed_file", formats, IOL_ARRAY_SIZE(formats), counts, err);
    if (r < 0)
        return r;
    /* Those that something still refers to will be looked at again when that is pruned. */
    const char *const rest = "DELETE FROM " IOL_CANDIDATE_TABLE " AS c WHERE NOT EXISTS (SELECT 1 FROM file f"
                             " WHERE f.id = c.id AND NOT (" MAY_GO("f") "))";
    const struct iol_prune_step step = {&rest, 1, NULL};
    return pruning->ops->step(pruning->prune, &step, err);
}

static int delete_processes(struct pruning *pruning, struct iol_error *err)
{
    static const char *const formats[] = {
        "DELETE FROM process AS p WHERE p.id IN " STEP("doomed_process") " AND " MAY_GO(
            "p") " AND NOT EXISTS (SELECT 1 FROM %3$s x WHERE x.process_id = p.id)",
        "DELETE FROM process_exit AS e WHERE e.process_id IN " STEP(
            "doomed_process") " AND NOT EXISTS (SELECT 1 FROM process p WHERE p.id = e.process_id)",
    };
    uint64_t *const counts[] = {&pruning->result->rows[IOL_TABLE_PROCESS],
                                &pruning->result->rows[IOL_TABLE_PROCESS_EXIT]};
    int r = doom_processes(pruning, err);

    return r == 0 ? run_steps(pruning, "doomed_process", formats, IOL_ARRAY_SIZE(formats), counts, err) : r;
}

/* The oldest batch of each boot that stays. */
static int make_batches(struct pruning *pruning, struct iol_error *err)
{
    return execute(pruning, err,
                   "CREATE TEMP TABLE prune_batch AS SELECT host_id, boot_id, seq FROM"
                   " (SELECT host_id, boot_id, seq, row_number() OVER (PARTITION BY host_id, boot_id"
                   " ORDER BY seq DESC) AS n FROM batch) b WHERE n = " BATCHES_KEPT);
}

#define OLD_BATCHES                                                                                                    \
    " FROM prune_batch p JOIN batch b ON b.host_id = p.host_id AND b.boot_id = p.boot_id AND b.seq < p.seq"            \
    " WHERE b.ts < '%s'"

static int delete_batches(struct pruning *pruning, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;
    uint64_t changes;
    int r = make_batches(pruning, err);

    if (r == 0 &&
        asprintf(&sql,
                 "DELETE FROM batch WHERE (host_id, boot_id, seq) IN (SELECT b.host_id, b.boot_id, b.seq" OLD_BATCHES
                 " LIMIT " BATCHES_PER_STEP ")",
                 pruning->before) < 0)
        return no_memory(err);
    do {
        const struct iol_prune_step step = {(const char *const *)&sql, 1, &changes};
        changes = 0;
        if (r == 0)
            r = pruning->ops->step(pruning->prune, &step, err);
        pruning->result->rows[IOL_TABLE_BATCH] += changes;
    } while (r == 0 && changes > 0);
    return r;
}

/* Of each of these there is little. */
static int delete_rest(struct pruning *pruning, struct iol_error *err)
{
    _cleanup_free_ char *losses = NULL, *recordings = NULL;
    uint64_t changes[2] = {0};

    if (asprintf(&losses, "DELETE FROM loss WHERE coalesce(ts_to, ts_from) < '%s'", pruning->before) < 0)
        losses = NULL;
    if (asprintf(&recordings, "DELETE FROM recording WHERE ended < '%s'", pruning->before) < 0)
        recordings = NULL;
    if (!losses || !recordings)
        return no_memory(err);
    const char *const sql[] = {losses, recordings};
    const struct iol_prune_step step = {sql, 2, changes};
    int r = pruning->ops->step(pruning->prune, &step, err);
    pruning->result->rows[IOL_TABLE_LOSS] += changes[0];
    pruning->result->rows[IOL_TABLE_RECORDING] += changes[1];
    return r;
}

static int delete_facts(struct pruning *pruning, struct iol_error *err)
{
    return pruning->ops->delete_facts(pruning->prune, pruning->before, err);
}

static int give_back(struct pruning *pruning, struct iol_error *err)
{
    return pruning->ops->give_back ? pruning->ops->give_back(pruning->prune, err) : 0;
}

static int prune_all(struct pruning *pruning, struct iol_error *err)
{
    static const struct {
        const char *doing;
        int (*run)(struct pruning *pruning, struct iol_error *err);
    } steps[] = {
        {"deleting rows of io", delete_facts},
        {"deleting losses and recordings", delete_rest},
        {"deleting batches", delete_batches},
        {"looking for recorders", make_hosts},
        {"waiting for the next intervals of recorders", wait_for_hosts},
        {"deleting files", delete_files},
        {"deleting processes", delete_processes},
        {"giving space back", give_back},
        {"looking at what stays", name_left_alone},
    };
    int r = 0;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(steps) && r == 0; i++) {
        iol_prune_begin(pruning->prune, steps[i].doing);
        r = steps[i].run(pruning, err);
    }
    return r;
}

/* Recorders are taken to go on writing, and batches to be all replayed by now. */
static int count_all(struct pruning *pruning, struct iol_error *err)
{
    static const struct {
        enum iol_table_id table;
        const char *from;
    } facts[] = {
        {IOL_TABLE_IO, "io WHERE ts"},
        {IOL_TABLE_EVENT, "event WHERE ts"},
        {IOL_TABLE_TOTAL, "total WHERE ts"},
        {IOL_TABLE_LOSS, "loss WHERE coalesce(ts_to, ts_from)"},
        {IOL_TABLE_RECORDING, "recording WHERE ended"},
    };
    uint64_t *rows = pruning->result->rows;
    _cleanup_free_ char *later = NULL;
    int r = make_hosts(pruning, err);

    if (asprintf(&later, "io WHERE ts >= '%s'", pruning->before) < 0)
        return no_memory(err);
    if (r == 0)
        r = execute(pruning, err, "UPDATE prune_host SET ready = 1 WHERE " UP_TO_DATE, pruning->believed);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(facts) && r == 0; i++)
        r = number(pruning, &rows[facts[i].table], err, "SELECT count(*) FROM %s < '%s'", facts[i].from,
                   pruning->before);
    if (r == 0)
        r = number(pruning, &rows[IOL_TABLE_FILE], err,
                   "SELECT count(*) FROM file f WHERE " MAY_GO(
                       "f") " AND " IS_REAL " AND (f.id IN (SELECT file_id FROM"
                            " io) OR f.id IN (SELECT file_id FROM event)) AND " NO_FACT("io", " AND x.ts >= '%1$s'"),
                   pruning->before);
    if (r == 0)
        r = number(pruning, &rows[IOL_TABLE_PROCESS], err,
                   KEPT_PROCESSES
                   " SELECT count(*) FROM process p WHERE p.id NOT IN (SELECT id FROM kept) AND " MAY_GO("p"),
                   later, pruning->before);
    if (r == 0)
        r = number(pruning, &rows[IOL_TABLE_PROCESS_EXIT], err,
                   KEPT_PROCESSES " SELECT count(*) FROM process p JOIN process_exit x ON x.process_id = p.id"
                                  " WHERE p.id NOT IN (SELECT id FROM kept) AND " MAY_GO("p"),
                   later, pruning->before);
    if (r == 0)
        r = make_batches(pruning, err);
    if (r == 0)
        r = number(pruning, &rows[IOL_TABLE_BATCH], err, "SELECT count(*)" OLD_BATCHES, pruning->before);
    return r == 0 ? name_left_alone(pruning, err) : r;
}

static const struct iol_prune_ops *find_driver(const char *url, struct iol_error *err)
{
    if (iol_url_rest(url, "sqlite"))
        return &iol_prune_sqlite_ops;
    if (iol_url_rest(url, "postgresql") || iol_url_rest(url, "postgres"))
        return &iol_prune_postgres_ops;
    if (iol_url_is_kafka(url)) {
        iol_error_set(err, -EOPNOTSUPP, "a Kafka topic is not pruned by ioledger");
        iol_error_hint(err, "the topic's own retention.ms and retention.bytes do that");
        return NULL;
    }
    if (!iol_url_rest(url, "jsonl")) {
        iol_url_unknown(url, err);
        return NULL;
    }
    iol_error_set(err, -EOPNOTSUPP, "a jsonl ledger cannot be pruned");
    iol_error_hint(err, "let logrotate cut it, or record into sqlite: or postgresql:");
    return NULL;
}

int iol_prune(const char *url, const struct iol_prune_options *options, struct iol_prune_result *ret_result,
              struct iol_error *err)
{
    struct iol_prune_result result = {0};
    struct pruning pruning = {.result = &result};

#ifdef IOL_HAVE_CLICKHOUSE
    if (iol_url_is_clickhouse(url))
        return iol_prune_clickhouse(url, options, ret_result, err);
#endif
    pruning.ops = find_driver(url, err);

    if (!pruning.ops)
        return -EINVAL;
    iol_text_time(pruning.before, sizeof(pruning.before), options->before);
    iol_text_time(pruning.believed, sizeof(pruning.believed), options->before + BELIEVED_NS);
    int r = pruning.ops->open(url, options->verbose, &pruning.prune, err);
    if (r < 0)
        return r;
    pruning.prune->result = &result;
    pruning.prune->options = options;
    if (options->dry_run)
        iol_prune_begin(pruning.prune, "counting");
    r = pruning.ops->size(pruning.prune, &result.bytes_before, err);
    if (r == 0)
        r = options->dry_run ? count_all(&pruning, err) : prune_all(&pruning, err);
    if (r == 0)
        r = pruning.ops->size(pruning.prune, &result.bytes_after, err);
    pruning.ops->close(pruning.prune);
    if (r == 0)
        *ret_result = result;
    return r;
}
