// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/error.h"

#define LOOKS 16 /* at two clocks: one of them was not interrupted */

static int read_word(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "re");

    if (!file)
        return -errno;
    if (!fgets(buf, (int)size, file))
        buf[0] = '\0';
    fclose(file);
    buf[strcspn(buf, " \t\r\n")] = '\0';
    return 0;
}

int iol_host_read(struct iol_this_host *ret_host, struct iol_error *err)
{
    static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";
    struct iol_this_host host = {0};
    struct utsname name;
    int r = read_word(boot_id_path, host.boot_id, sizeof(host.boot_id));

    if (r < 0)
        return iol_error_set(err, r, "cannot read %s: %s", boot_id_path, strerror(-r));
    uname(&name);
    snprintf(host.name, sizeof(host.name), "%s", name.nodename);
    snprintf(host.kernel, sizeof(host.kernel), "%s", name.release);
    if (read_word("/etc/machine-id", host.machine_id, sizeof(host.machine_id)) < 0)
        host.machine_id[0] = '\0';
    host.id = (int64_t)XXH64(host.name, strlen(host.name), XXH64(host.machine_id, strlen(host.machine_id), 0));
    *ret_host = host;
    return 0;
}

/* How far a time namespace has set the clock off: the kernel's programs read it as the host has it. */
static int64_t namespace_offset(void)
{
    FILE *file = fopen("/proc/self/timens_offsets", "re");
    long long seconds = 0;
    long ns = 0;
    char line[128];

    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "boottime %lld %ld", &seconds, &ns) == 2)
            break;
    }
    if (file)
        fclose(file);
    return (int64_t)seconds * 1000000000 + ns;
}

/* Wall clock minus boot clock: as the two are read one after the other, it is known to be between these. */
struct span {
    int64_t low, high;
};

static struct span look_at_clocks(void)
{
    int64_t before = iol_clock_ns(CLOCK_BOOTTIME), wall = iol_clock_ns(CLOCK_REALTIME),
            after = iol_clock_ns(CLOCK_BOOTTIME);

    return (struct span){wall - after, wall - before};
}

/* Between what each of some looks says; when nothing is left the clock was set meanwhile. */
static struct span both(struct span a, struct span b)
{
    return (struct span){a.low > b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
}

static struct span measure_offset(void)
{
    struct span known = look_at_clocks();

    for (int i = 1; i < LOOKS; i++) {
        struct span next = look_at_clocks(), all = both(known, next);

        known = all.low > all.high ? next : all;
    }
    return known;
}

int64_t iol_host_boot_offset(void)
{
    static int64_t set_off = INT64_MIN, offset; /* set_off: the same for as long as a process lives */
    static struct span known = {INT64_MAX, INT64_MIN};

    if (set_off == INT64_MIN)
        set_off = namespace_offset();
    known = both(known, look_at_clocks());
    if (known.low > known.high) { /* not measured yet, or the clock was set */
        known = measure_offset();
        offset = known.low + (known.high - known.low) / 2;
    }
    return offset + set_off;
}
