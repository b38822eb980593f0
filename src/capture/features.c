// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"
#include "capture/features.h"
#include "capture/preempt.h"

#define CAP_BIT(capability) (1ULL << (capability))

static unsigned long long effective_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    if (syscall(SYS_capget, &header, data) < 0)
        return 0;
    return (unsigned long long)data[1].effective << 32 | data[0].effective;
}

static bool may_use_bpf(void)
{
    unsigned long long capabilities = effective_capabilities();

    return capabilities & CAP_BIT(CAP_SYS_ADMIN) ||
           (capabilities & CAP_BIT(CAP_BPF) && capabilities & CAP_BIT(CAP_PERFMON));
}

bool iol_kernel_is_at_least(int major, int minor)
{
    struct utsname name;
    int found_major = 0, found_minor = 0;

    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &found_major, &found_minor) == 2 &&
           (found_major > major || (found_major == major && found_minor >= minor));
}

/* Before 5.11 (bpf: Eliminate rlimit-based memory accounting) maps count as locked memory; libbpf lifts the limit where it may. */
static bool may_lock_memory(void)
{
    struct rlimit limit = {0};

    return iol_kernel_is_at_least(5, 11) || effective_capabilities() & CAP_BIT(CAP_SYS_RESOURCE) ||
           (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_max == RLIM_INFINITY);
}

static void set(struct iol_feature *feature, bool good, const char *detail)
{
    if (good)
        feature->state = IOL_FEATURE_OK;
    snprintf(feature->detail, sizeof(feature->detail), "%s", detail);
}

/* The kernel answers only those who may use BPF: else its refusal would tell nothing of the kernel. */
static bool may_ask(struct iol_feature *feature)
{
    if (may_use_bpf())
        return true;
    set(feature, false, "not known without these privileges");
    feature->consequence = NULL;
    return false;
}

/* First line of a small file, without its newline; false when it cannot be read. */
static bool read_line(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "re");
    bool ok = file && fgets(buf, (int)size, file);

    if (file)
        fclose(file);
    if (ok)
        buf[strcspn(buf, "\n")] = '\0';
    return ok;
}

static void probe_kernel(struct iol_feature *feature)
{
    struct utsname name;

    uname(&name);
    set(feature, iol_kernel_is_at_least(5, 10), name.release);
}

static void probe_privileges(struct iol_feature *feature)
{
    bool good = may_use_bpf();

    set(feature, good,
        geteuid() == 0 ? (good ? "root" : "root, without CAP_BPF and CAP_PERFMON")
                       : (good ? "CAP_BPF and CAP_PERFMON" : "neither root nor CAP_BPF and CAP_PERFMON"));
    if (good && !may_lock_memory()) {
        set(feature, false, "locked memory is limited");
        feature->state = IOL_FEATURE_MISSING;
        feature->consequence =
            "before Linux 5.11 maps count as locked memory: CAP_SYS_RESOURCE, or ulimit -l unlimited";
    }
}

static void probe_btf(struct iol_feature *feature)
{
    struct btf *btf = btf__load_vmlinux_btf();

    set(feature, btf != NULL, btf ? "/sys/kernel/btf/vmlinux" : "not there");
    btf__free(btf);
}

static void probe_hooks(struct iol_feature *feature)
{
    static const char *const hooks[] = {"btf_trace_sys_exit", "btf_trace_sched_process_exec",
                                        "btf_trace_sched_process_fork", "btf_trace_sched_process_exit"};
    struct btf *btf = btf__load_vmlinux_btf();

    set(feature, btf != NULL, btf ? "sys_exit, sched_process_exec, _fork, _exit" : "unknown without BTF");
    for (size_t i = 0; btf && i < IOL_ARRAY_SIZE(hooks); i++) {
        if (btf__find_by_name_kind(btf, hooks[i], BTF_KIND_TYPEDEF) < 0) {
            feature->state = IOL_FEATURE_MISSING;
            snprintf(feature->detail, sizeof(feature->detail), "%s is not there", hooks[i] + strlen("btf_trace_"));
        }
    }
    btf__free(btf);
}

static void probe_ring(struct iol_feature *feature)
{
    int fd;

    if (!may_ask(feature))
        return;
    fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "probe", 0, 0, 4096, NULL);
    set(feature, fd >= 0, fd >= 0 ? "yes" : strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void probe_iterator(struct iol_feature *feature)
{
    struct btf *btf = btf__load_vmlinux_btf();
    bool good = btf && btf__find_by_name_kind(btf, "bpf_iter__task", BTF_KIND_STRUCT) > 0;

    set(feature, good, good ? "yes" : "not there");
    btf__free(btf);
}

static void probe_direct_loads(struct iol_feature *feature)
{
    struct btf *btf = btf__load_vmlinux_btf();
    bool good = btf && btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;

    set(feature, good, good ? "bpf_rdonly_cast" : "not there");
    btf__free(btf);
}

static void probe_trampolines(struct iol_feature *feature)
{
    int r;

    if (!may_ask(feature))
        return;
    r = iol_probes_try_trampoline();
    set(feature, r == 0, r == 0 ? "yes" : strerror(-r));
}

static void probe_fexit(struct iol_feature *feature)
{
    char text[IOL_PROBES_TEXT] = "unknown without BTF";
    struct btf *btf;
    bool good;

    if (!may_ask(feature))
        return;
    btf = btf__load_vmlinux_btf();
    good = btf && iol_probes_judge(btf, text) == IOL_PROBES_BEST;
    set(feature, good, text);
    btf__free(btf);
}

static void probe_preemption(struct iol_feature *feature)
{
    struct btf *btf = btf__load_vmlinux_btf();
    const char *lacks = btf ? iol_preempt_lacks(btf) : NULL;
    char text[IOL_PROBES_TEXT];

    snprintf(text, sizeof(text), "no %s", lacks ? lacks : "");
    set(feature, !lacks,
        lacks                       ? text
        : !iol_preempt_functions()  ? "no thread is preempted within a hook"
        : iol_preempt_tracepoints() ? "hooks by events and kprobe.multi, with preemption off"
                                    : "hooks of tracepoints run with preemption off");
    btf__free(btf);
}

static void probe_jit(struct iol_feature *feature)
{
    char line[32] = "";

    if (!read_line("/proc/sys/net/core/bpf_jit_enable", line, sizeof(line)))
        set(feature, true, "cannot be told");
    else
        set(feature, line[0] != '0', line[0] != '0' ? "on" : "off");
}

static void probe_lockdown(struct iol_feature *feature)
{
    char line[64] = "";

    if (!read_line("/sys/kernel/security/lockdown", line, sizeof(line)))
        set(feature, true, "not active");
    else
        set(feature, !strstr(line, "[confidentiality]"), line);
}

static void probe_cgroup(struct iol_feature *feature)
{
    struct stat info;

    if (stat("/sys/fs/cgroup/cgroup.controllers", &info) == 0)
        set(feature, true, "v2");
    else if (stat("/sys/fs/cgroup", &info) == 0)
        set(feature, true, "v1: the memory, pids or cpu hierarchy is recorded");
    else
        set(feature, false, "not mounted");
}

static void probe_audit(struct iol_feature *feature)
{
    bool good = access("/proc/self/loginuid", R_OK) == 0;

    set(feature, good, good ? "yes" : "the kernel has no audit support");
}

static void probe_uring(struct iol_feature *feature)
{
    static const char *const found[] = {
        [IOL_URING_ABSENT] = "this kernel has no io_uring",
        [IOL_URING_UNKNOWN] = "io_uring_complete does not tell the request",
        [IOL_URING_6_12] = "io_uring_complete with request and result",
        [IOL_URING_CQE] = "io_uring_complete with request and completion",
    };
    struct btf *btf = btf__load_vmlinux_btf();
    enum iol_uring kind = btf ? iol_capture_uring(btf) : IOL_URING_UNKNOWN;

    set(feature, kind != IOL_URING_UNKNOWN, btf ? found[kind] : "unknown without BTF");
    btf__free(btf);
}

static void probe_notes(struct iol_feature *feature)
{
    bool good = iol_capture_has_notes();

    set(feature, good, good ? "bpf_task_pt_regs" : "not there");
}

static void probe_load(struct iol_feature *feature)
{
    struct iol_capture_options options = {.max_accounts = IOL_CAPTURE_MIN_ACCOUNTS};
    struct iol_capture *capture = NULL;
    struct iol_error err = {0};
    int r;

    if (!may_ask(feature))
        return;
    r = iol_capture_open(&options, &capture, &err);
    set(feature, r == 0, r == 0 ? "all programs pass the verifier" : err.text);
    iol_capture_close(capture);
}

static const struct {
    const char *name;
    enum iol_feature_state without;
    void (*probe)(struct iol_feature *feature);
    const char *consequence;
} feature_table[] = {
    {"kernel", IOL_FEATURE_MISSING, probe_kernel, "recording needs Linux 5.10 or newer"},
    {"privileges", IOL_FEATURE_MISSING, probe_privileges, "record as root, or with CAP_BPF and CAP_PERFMON"},
    {"BTF", IOL_FEATURE_MISSING, probe_btf, "recording needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"},
    {"BPF ring buffer", IOL_FEATURE_MISSING, probe_ring, "recording needs Linux 5.8, and the right to create BPF maps"},
    {"tracepoints", IOL_FEATURE_MISSING, probe_hooks, "the tracepoint probe set cannot be attached"},
    {"task iterator", IOL_FEATURE_MISSING, probe_iterator, "processes that already run cannot be found"},
    {"direct loads", IOL_FEATURE_DEGRADED, probe_direct_loads,
     "before Linux 6.2 each operation costs some 100 ns more"},
    {"trampolines", IOL_FEATURE_DEGRADED, probe_trampolines, "the probe set fexit cannot be used"},
    {"fexit", IOL_FEATURE_DEGRADED, probe_fexit,
     "--probes auto takes the set tracepoint: every system call, not only those that matter, pays for its hook"},
    {"preemption", IOL_FEATURE_DEGRADED, probe_preemption,
     "a thread that is preempted within a hook has that hook left out for others meanwhile: those calls are not in the "
     "books, "
     "and the table loss says how many"},
    {"io_uring", IOL_FEATURE_DEGRADED, probe_uring,
     "before Linux 5.19 what is read and written by io_uring is not recorded; each recording says so in the table "
     "loss"},
    {"descriptor notes", IOL_FEATURE_DEGRADED, probe_notes,
     "before Linux 5.15 a call that sleeps while another thread closes its descriptor is booked on what is there "
     "afterwards"},
    {"JIT", IOL_FEATURE_DEGRADED, probe_jit,
     "programs are interpreted and cost several times more: set net.core.bpf_jit_enable=1"},
    {"lockdown", IOL_FEATURE_MISSING, probe_lockdown, "lockdown=confidentiality forbids reading kernel memory"},
    {"cgroup", IOL_FEATURE_DEGRADED, probe_cgroup, "processes are recorded without their cgroup"},
    {"login uid", IOL_FEATURE_DEGRADED, probe_audit, "login_uid and session_id stay empty"},
    {"BPF programs", IOL_FEATURE_MISSING, probe_load, "ioledger record --verbose shows what the kernel said"},
};

static_assert(IOL_ARRAY_SIZE(feature_table) <= IOL_FEATURES_MAX, "room for every feature");

size_t iol_features_probe(struct iol_feature features[IOL_FEATURES_MAX])
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(feature_table); i++) {
        features[i] = (struct iol_feature){
            .name = feature_table[i].name,
            .state = feature_table[i].without,
            .consequence = feature_table[i].consequence,
        };
        feature_table[i].probe(&features[i]);
    }
    return IOL_ARRAY_SIZE(feature_table);
}

int iol_capture_allowed(struct iol_error *err)
{
    struct iol_feature btf = {.state = IOL_FEATURE_MISSING};

    if (!may_use_bpf()) {
        iol_error_set(err, -EPERM, "recording needs root, or the capabilities CAP_BPF and CAP_PERFMON");
        iol_error_hint(err, "try: sudo ioledger record");
        return -EPERM;
    }
    probe_btf(&btf);
    if (btf.state == IOL_FEATURE_MISSING) {
        iol_error_set(err, -EOPNOTSUPP, "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing)");
        iol_error_hint(err, "recording needs a kernel built with CONFIG_DEBUG_INFO_BTF=y");
        return -EOPNOTSUPP;
    }
    return 0;
}

int iol_capture_explain(int code, struct iol_error *err)
{
    if (iol_capture_allowed(err) < 0)
        return code;
    if (code == -EPERM && !may_lock_memory()) {
        iol_error_set(
            err, code,
            "the kernel refused the BPF maps: before Linux 5.11 they count as locked memory, which is limited");
        iol_error_hint(
            err, "recording needs CAP_SYS_RESOURCE there, beside CAP_BPF and CAP_PERFMON, or: ulimit -l unlimited");
        return code;
    }
    iol_error_set(err, code, "the kernel refused the BPF programs: %s", strerror(-code));
    iol_error_hint(err, "'ioledger doctor' tells what this kernel lacks; --verbose shows the kernel's own words");
    return code;
}
