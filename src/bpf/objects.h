// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The BPF objects (ELF, aligned to 16 bytes) that the build embeds into the binary: from the first symbol up to, and
 * without, its _end. The legacy one is for kernels before 6.2, the plain one for those before 5.12.
 */
extern const unsigned char iol_bpf_object[], iol_bpf_object_end[];
extern const unsigned char iol_bpf_legacy_object[], iol_bpf_legacy_object_end[];
extern const unsigned char iol_bpf_plain_object[], iol_bpf_plain_object_end[];
