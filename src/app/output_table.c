// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "app/output.intern.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"

/* So many rows are held back to find the columns' widths; later ones have to live with them. */
#define ROWS_HELD 1000
#define GAP 2         /* blanks between columns */
#define LEAST_TEXT 12 /* unless the column says otherwise, or is narrower anyway */
#define DEFAULT_COLUMNS 80

struct column_state {
    size_t width;   /* widest heading or cell among the rows held */
    size_t longest; /* the same with the longest form of each cell */
    size_t granted; /* what the layout gave it */
    bool shown;
    bool seen_any;   /* a cell that is neither NULL nor 0 */
    bool seen_other; /* a cell that differs from the first row's */
};

struct table_cell {
    char *text;                    /* visible form */
    char *forms[IOL_OUTPUT_FORMS]; /* the same of longer forms; NULL: none */
    bool alarm;
};

struct iol_output_table {
    struct column_state *columns;
    struct table_cell *cells; /* rows_held * n_columns */
    size_t rows_held;
    bool laid_out;
    bool colours;
    size_t screen; /* columns of the terminal; 0: no limit */
};

static size_t screen_width(void)
{
    const char *variable = getenv("COLUMNS");
    struct winsize size;
    char *end;
    unsigned long n;

    if (variable) {
        n = strtoul(variable, &end, 10);
        if (*variable && !*end && n >= 20 && n <= 10000)
            return n;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

bool iol_output_want_colours(void)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    return !(no_colour && *no_colour) && term && *term && strcmp(term, "dumb") != 0;
}

static int table_begin(struct iol_output *output)
{
    struct iol_output_table *table = output->table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    table->columns = calloc(output->n_columns, sizeof(*table->columns));
    table->cells = calloc(ROWS_HELD * output->n_columns, sizeof(*table->cells));
    if (!table->columns || !table->cells)
        return -ENOMEM;
    table->screen = output->terminal ? screen_width() : 0;
    table->colours = output->terminal && iol_output_want_colours();
    for (size_t i = 0; i < output->n_columns; i++) {
        const char *heading = output->columns[i].heading;

        table->columns[i].width = heading ? iol_text_width(heading) : 0;
    }
    return 0;
}

static char *visible_copy(const char *text, size_t max_bytes)
{
    size_t size = iol_text_visible(NULL, 0, text) + 1;
    char *copy = malloc(size);

    if (copy) {
        iol_text_visible(copy, size, text);
        if (max_bytes && size > max_bytes)
            copy[max_bytes] = '\0';
    }
    return copy;
}

/* The cell as it may stand in a table, in memory of its own. */
static char *format_cell(const struct iol_output_column *column, const struct iol_output_value *value)
{
    char buf[32];

    if (value->is == IOL_VALUE_NULL)
        return strdup("-");
    if (value->is == IOL_VALUE_TEXT)
        return visible_copy(value->text, column->cell == IOL_CELL_TIME ? strlen("YYYY-MM-DD HH:MM:SS") : 0);
    if (column->cell == IOL_CELL_FLAG)
        return strdup(value->number ? "yes" : "no");
    if (column->cell == IOL_CELL_NUMBER || value->number < 0) {
        snprintf(buf, sizeof(buf), "%" PRId64, value->number);
        return strdup(buf);
    }
    if (column->cell == IOL_CELL_BYTES)
        return strdup(iol_text_bytes(buf, sizeof(buf), (uint64_t)value->number));
    return strdup(iol_text_count(buf, sizeof(buf), (uint64_t)value->number));
}

static bool is_right(enum iol_cell cell)
{
    return cell == IOL_CELL_COUNT || cell == IOL_CELL_BYTES || cell == IOL_CELL_NUMBER;
}

static void put_shortened(FILE *to, const char *text, enum iol_shorten shorten, size_t columns)
{
    const char *dots = iol_output_is_utf8() ? "\u2026" : "~";
    size_t room = columns - 1, head;

    if (shorten == IOL_SHORTEN_START) {
        fprintf(to, "%s%s", dots, iol_text_tail(text, room));
        return;
    }
    /* Of a path the end says more than the beginning. */
    head = iol_text_head(text, shorten == IOL_SHORTEN_END ? room : room / 3);
    fwrite(text, 1, head, to);
    fputs(dots, to);
    if (shorten == IOL_SHORTEN_MIDDLE)
        fputs(iol_text_tail(text + head, room - room / 3), to);
}

static void put_fitting(FILE *to, const struct iol_output_column *column, const char *text, size_t granted,
                        bool limited)
{
    if (!limited || iol_text_width(text) <= granted || column->shorten == IOL_SHORTEN_NOT)
        fputs(text, to);
    else
        put_shortened(to, text, column->shorten, granted);
}

static void put_blanks(FILE *to, size_t n)
{
    fprintf(to, "%*s", (int)n, "");
}

static const char *fitting_form(const struct table_cell *cell, size_t granted)
{
    const char *text = cell->text;

    for (size_t i = 0; i < IOL_OUTPUT_FORMS; i++) {
        if (cell->forms[i] && iol_text_width(cell->forms[i]) <= granted)
            text = cell->forms[i];
    }
    return text;
}

/* One line of the table; `cells` NULL is the heading. */
static void put_line(struct iol_output *output, const struct table_cell *cells)
{
    struct iol_output_table *table = output->table;
    size_t pending = 0; /* blanks that are owed before the next cell, so that no line ends in blanks */
    bool bold = table->colours && !cells;

    if (bold)
        fputs("\033[1m", output->to);
    for (size_t i = 0; i < output->n_columns; i++) {
        const struct iol_output_column *column = &output->columns[i];
        const struct column_state *state = &table->columns[i];
        const char *text = cells ? fitting_form(&cells[i], state->granted) : column->heading;
        bool red = cells && cells[i].alarm && table->colours;
        size_t width, fill;

        if (!state->shown)
            continue;
        width = iol_text_width(text);
        fill = width < state->granted ? state->granted - width : 0;
        put_blanks(output->to, pending + (is_right(column->cell) ? fill : 0));
        if (red)
            fputs("\033[31m", output->to);
        put_fitting(output->to, column, text, state->granted, table->screen > 0);
        if (red)
            fputs("\033[m", output->to);
        pending = GAP + (is_right(column->cell) ? 0 : fill);
    }
    fputs(bold ? "\033[m\n" : "\n", output->to);
}

/* The least that a column can be made to take. */
static size_t least_width(const struct iol_output *output, size_t i)
{
    const struct column_state *state = &output->table->columns[i];
    size_t least = output->columns[i].least ? output->columns[i].least : LEAST_TEXT;
    size_t heading = output->columns[i].heading ? iol_text_width(output->columns[i].heading) : 0;

    if (output->columns[i].shorten == IOL_SHORTEN_NOT)
        return state->width;
    if (least < heading)
        least = heading;
    return least < state->width ? least : state->width;
}

/* Shown columns at their least, with the gaps. */
static size_t least_total(const struct iol_output *output)
{
    size_t total = 0, n = 0;

    for (size_t i = 0; i < output->n_columns; i++) {
        if (output->table->columns[i].shown) {
            total += least_width(output, i);
            n++;
        }
    }
    return total + (n ? (n - 1) * GAP : 0);
}

/* Leaves out what has the highest `drop`, as one; false when nothing may go any more. */
static bool drop_one(struct iol_output *output)
{
    int highest = 0;

    for (size_t i = 0; i < output->n_columns; i++) {
        if (output->table->columns[i].shown && output->columns[i].drop > highest)
            highest = output->columns[i].drop;
    }
    for (size_t i = 0; i < output->n_columns && highest > 0; i++) {
        if (output->columns[i].drop == highest)
            output->table->columns[i].shown = false;
    }
    return highest > 0;
}

/* Hands the terminal's free columns out, one by one, to the text that lacks most. */
static void grant_widths(struct iol_output *output)
{
    struct iol_output_table *table = output->table;
    size_t total = least_total(output);

    for (size_t i = 0; i < output->n_columns; i++)
        table->columns[i].granted = table->screen > 0 ? least_width(output, i) : table->columns[i].width;
    for (; total < table->screen; total++) {
        size_t neediest = SIZE_MAX, most = 0;

        for (size_t i = 0; i < output->n_columns; i++) {
            const struct column_state *state = &table->columns[i];

            if (state->shown && state->width - state->granted > most) {
                most = state->width - state->granted;
                neediest = i;
            }
        }
        if (neediest == SIZE_MAX)
            break;
        table->columns[neediest].granted++;
    }
    for (size_t i = 0; i < output->n_columns && total < table->screen; i++) {
        struct column_state *state = &table->columns[i];
        size_t more = table->screen - total;

        if (!state->shown || state->longest <= state->granted)
            continue;
        if (more > state->longest - state->granted)
            more = state->longest - state->granted;
        state->granted += more;
        total += more;
    }
}

static void lay_out(struct iol_output *output)
{
    struct iol_output_table *table = output->table;

    for (size_t i = 0; i < output->n_columns; i++) {
        const struct iol_output_column *column = &output->columns[i];
        struct column_state *state = &table->columns[i];

        state->shown = column->heading && !(column->hide == IOL_HIDE_EMPTY && !state->seen_any) &&
                       !(column->hide == IOL_HIDE_SAME && !state->seen_other);
    }
    while (table->screen > 0 && least_total(output) > table->screen && drop_one(output))
        ;
    grant_widths(output);
    table->laid_out = true;
}

static void put_held(struct iol_output *output)
{
    struct iol_output_table *table = output->table;

    lay_out(output);
    put_line(output, NULL);
    for (size_t row = 0; row < table->rows_held; row++)
        put_line(output, &table->cells[row * output->n_columns]);
}

static int fill_cells(struct iol_output *output, struct table_cell *cells)
{
    for (size_t i = 0; i < output->n_columns; i++) {
        cells[i].text = format_cell(&output->columns[i], &output->values[i]);
        if (!cells[i].text)
            return -ENOMEM;
        for (size_t form = 0; form < IOL_OUTPUT_FORMS && output->table->screen > 0; form++) {
            const char *text = output->values[i].forms[form];

            if (text && !(cells[i].forms[form] = visible_copy(text, 0)))
                return -ENOMEM;
        }
        cells[i].alarm = output->values[i].alarm;
    }
    return 0;
}

static void measure_cells(struct iol_output *output, const struct table_cell *cells)
{
    struct iol_output_table *table = output->table;

    for (size_t i = 0; i < output->n_columns; i++) {
        struct column_state *state = &table->columns[i];
        const struct iol_output_value *value = &output->values[i];
        size_t width = iol_text_width(cells[i].text);

        if (width > state->width)
            state->width = width;
        for (size_t form = 0; form < IOL_OUTPUT_FORMS; form++) {
            width = cells[i].forms[form] ? iol_text_width(cells[i].forms[form]) : 0;
            if (width > state->longest)
                state->longest = width;
        }
        state->seen_any |= value->is == IOL_VALUE_TEXT || (value->is == IOL_VALUE_INT && value->number != 0);
        state->seen_other |= strcmp(cells[i].text, table->cells[i].text) != 0;
    }
}

static void free_cells(struct table_cell *cells, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(cells[i].text);
        for (size_t form = 0; form < IOL_OUTPUT_FORMS; form++)
            free(cells[i].forms[form]);
        cells[i] = (struct table_cell){0};
    }
}

static int table_row(struct iol_output *output)
{
    struct iol_output_table *table = output->table;
    /* Once the first rows are printed, their cells are the space for the next one. */
    size_t at = table->laid_out ? 0 : table->rows_held * output->n_columns;
    struct table_cell *cells = &table->cells[at];
    int r;

    if (table->laid_out)
        free_cells(cells, output->n_columns);
    r = fill_cells(output, cells);
    if (r < 0)
        return r;
    if (table->laid_out) {
        put_line(output, cells);
        return 0;
    }
    measure_cells(output, cells);
    if (++table->rows_held == ROWS_HELD)
        put_held(output);
    return 0;
}

static void tell_dropped(const struct iol_output *output)
{
    char names[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < output->n_columns; i++) {
        const struct iol_output_column *column = &output->columns[i];
        const struct column_state *state = &output->table->columns[i];

        if (state->shown || !column->heading || (column->hide == IOL_HIDE_EMPTY && !state->seen_any) ||
            (column->hide == IOL_HIDE_SAME && !state->seen_other) || used >= sizeof(names) - 1)
            continue;
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "", column->key);
    }
    if (used > 0)
        iol_log_info("no room for %s: --format csv has all", names);
}

static int table_finish(struct iol_output *output)
{
    if (output->rows == 0)
        return 0;
    if (!output->table->laid_out)
        put_held(output);
    fflush(output->to);
    tell_dropped(output);
    return 0;
}

static void table_free(struct iol_output *output)
{
    struct iol_output_table *table = output->table;

    if (!table)
        return;
    if (table->cells)
        free_cells(table->cells, ROWS_HELD * output->n_columns);
    free(table->cells);
    free(table->columns);
    free(table);
}

const struct iol_output_ops iol_output_table = {
    .begin = table_begin, .row = table_row, .finish = table_finish, .free = table_free};
