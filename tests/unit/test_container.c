// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka.h wants those above first
#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define POD "2c48913c-b29f-11e7-9350-020968147796"
#define POD_SLICE "kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796.slice"

struct sample {
    const char *cgroup, *id;
};

static void check(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char id[IOL_CONTAINER_ID_MAX] = "as it was";
        bool found = iol_container_of_path(samples[i].cgroup, id);

        if (found != (samples[i].id != NULL) || strcmp(id, found ? samples[i].id : "as it was") != 0)
            fail_msg("%s is told as %s", samples[i].cgroup, id);
    }
}

static void engines_write_an_id(void **state)
{
    static const struct sample samples[] = {
        /* docker: cgroupfs, systemd, with a parent of one's own, rootless */
        {"/docker/" ID, ID},
        {"/system.slice/docker-" ID ".scope", ID},
        {"/system.slice/docker-" ID ".scope/init", ID},
        {"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope", ID},
        {"/ecs/0c3a7b4e6f4e4a6e9d9a1e7d6a3b2c1d/" ID, ID},
        /* containerd under kubernetes: cgroupfs, systemd, its own service, and kind */
        {"/kubepods/burstable/pod" POD "/" ID, ID},
        {"/kubepods/pod" POD "/" ID, ID},
        {"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/cri-containerd-" ID ".scope", ID},
        {"/system.slice/containerd.service/" POD_SLICE ":cri-containerd:" ID, ID},
        {"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/cri-containerd-" ID ".scope", ID},
        {"/default/" ID, ID},
        /* cri-o */
        {"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/crio-" ID ".scope", ID},
        {"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/crio-" ID ".scope/container", ID},
        {"/kubepods/besteffort/pod" POD "/crio-" ID, ID},
        /* podman: systemd, cgroupfs, rootless, and with cgroups split */
        {"/machine.slice/libpod-" ID ".scope", ID},
        {"/machine.slice/libpod-" ID ".scope/container", ID},
        {"/libpod_parent/libpod-" ID, ID},
        {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope/container", ID},
        {"/system.slice/web.service/libpod-payload-" ID, ID},
    };

    (void)state;
    check(samples, IOL_ARRAY_SIZE(samples));
}

static void machines_have_a_name(void **state)
{
    static const struct sample samples[] = {
        {"/machine.slice/machine-box.scope", "box"},
        {"/machine.slice/machine-my\\x2dbox.scope", "my-box"},
        {"/machine.slice/machine-my\\x2dbox.scope/payload/system.slice/ssh.service", "my-box"},
        {"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "qemu-1-vm"},
        {"/machine.slice/systemd-nspawn@box.service", "box"},
        {"/machine.slice/systemd-nspawn@my\\x2dbox.service/payload/init.scope", "my-box"},
        {"/machine.slice/machine-a\\x2.scope", "a\\x2"},
        {"/machine.slice/machine-a\\x00.scope", "a\\x00"},
        {"/machine.slice/machine-.scope", NULL},
        {"/machine.slice", NULL},
        {"/system.slice/systemd-nspawn@.service", NULL},
    };

    (void)state;
    check(samples, IOL_ARRAY_SIZE(samples));
}

static void the_innermost_wins(void **state)
{
    static const struct sample samples[] = {
        {"/docker/" ID "/docker/" OTHER, OTHER},
        {"/system.slice/docker-" ID ".scope/kubepods.slice/" POD_SLICE "/cri-containerd-" OTHER ".scope", OTHER},
        {"/machine.slice/machine-box.scope/payload/system.slice/docker-" ID ".scope", ID},
        {"/docker/" ID "/machine.slice/machine-box.scope/payload", "box"},
    };

    (void)state;
    check(samples, IOL_ARRAY_SIZE(samples));
}

static void other_cgroups_are_none(void **state)
{
    static const struct sample samples[] = {
        {"", NULL},
        {"/", NULL},
        {"/init.scope", NULL},
        {"/system.slice/docker.service", NULL},
        {"/system.slice/containerd.service", NULL},
        {"/user.slice/user-0.slice/session-1.scope", NULL},
        {"/kubepods/burstable/pod" POD, NULL},
        {"/kubepods.slice/" POD_SLICE, NULL},
        /* who watches a container is not in it */
        {"/machine.slice/libpod-conmon-" ID ".scope", NULL},
        {"/kubepods.slice/" POD_SLICE "/crio-conmon-" ID ".scope", NULL},
        /* longer than an id, shorter, in capitals */
        {"/a/" ID "0", NULL},
        {"/a/" ID "A", NULL},
        {"/a/123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL},
        {"/a/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", NULL},
    };

    (void)state;
    check(samples, IOL_ARRAY_SIZE(samples));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_write_an_id),
        cmocka_unit_test(machines_have_a_name),
        cmocka_unit_test(the_innermost_wins),
        cmocka_unit_test(other_cgroups_are_none),
    };

    return cmocka_run_group_tests_name("container", tests, NULL, NULL);
}
