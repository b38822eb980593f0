// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Sweeps: which of the images that are known are alive, and which of those that are alive are not known. */
#include <errno.h>

#include "core/batch.h"
#include "core/model.intern.h"

void iol_model_sweep_begin(struct iol_model *model)
{
    model->sweep++;
    model->sweeping = true;
}

/* Only the task iterator told of it: its own record was lost. */
static int make_known(struct iol_model *model, struct iol_model_process *process, struct iol_batch *batch)
{
    process->provisional = false;
    return model->all || process->traced ? iol_model_post_process(model, process, batch) : 0;
}

void iol_model_sweep_ask(struct iol_model *model, iol_model_lives_fn *lives, void *arg)
{
    struct iol_model_process *process, *next;

    model->stats.sweeps++;
    HASH_ITER(hh, model->processes, process, next) {
        model->stats.found_running += process->provisional;
        /* image 0, (other processes), is none that could end */
        process->gone = !process->ended && process->heard != model->sweep && process->image &&
                        !lives(arg, (uint32_t)process->row.pid, process->image);
    }
}

int iol_model_sweep_end(struct iol_model *model, struct iol_batch *batch)
{
    struct iol_model_process *process, *next;
    int r = 0;

    model->sweeping = false;
    HASH_ITER(hh, model->processes, process, next) {
        if (process->provisional && make_known(model, process, batch) < 0)
            r = -ENOMEM;
        model->stats.ended_unheard += process->gone && !process->ended;
        if (process->gone)
            iol_model_end_process(model, process);
        process->gone = false;
    }
    return r;
}
