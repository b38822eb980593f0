// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_events FOLDER: every system call that changes a file or a directory, with names of every sort, and says which events
 * must come of it, one note for each:
 *
 *   SCENARIO PID note KIND:TID:RESULT:FLAGS:FILE-IN-HEX:OTHER-IN-HEX
 *
 * FLAGS are those of the file's row, then behind a '/' those of the other file's; "-" for none.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "workload.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif
#define RENAME_NOREPLACE_FLAG 1
#define XATTR "trusted.ioledger" /* every file system of a test machine takes these from root */

static const char *folder;

/* How names are given: relative to dirfd with a prefix; and what then is in the books. */
struct way {
    const char *scenario;
    int dirfd;
    const char *prefix; /* before each name */
    const char *shown;  /* the path of the directory, in the books */
    const char *flags;
};

static const char *hex(const char *text)
{
    static char buffers[2][512];
    static int turn;
    char *out = buffers[turn = !turn];
    size_t n = 0;
    for (; *text; text++) {
        n += (size_t)snprintf(out + n, sizeof(buffers[0]) - n, "%02x", (unsigned char)*text);
    }
    out[n] = '\0';
    return out;
}

static void expect_paths(const char *scenario, const char *kind, int result, const char *flags, const char *path,
                         const char *other)
{
    char word[400];
    snprintf(word, sizeof(word), "%s:%ld:%d:%s:%s:%s", kind, syscall(SYS_gettid), result, flags, hex(path),
             other ? hex(other) : "-");
    note(scenario, word);
}

/* The way that is being gone, and the names of the call under way in its form. */
static const char *in(const struct way *way, const char *name)
{
    static char buffers[2][256];
    static int turn;
    char *out = buffers[turn = !turn];
    snprintf(out, sizeof(buffers[0]), "%s%s", way->prefix, name);
    return out;
}

static void expect(const struct way *way, const char *kind, const char *name, const char *other)
{
    char path[256], other_path[256], flags[64];
    snprintf(path, sizeof(path), "%s/%s", way->shown, name);
    snprintf(other_path, sizeof(other_path), "%s/%s", way->shown, other ? other : "");
    snprintf(flags, sizeof(flags), "%s%s%s", way->flags, other ? "/" : "", other ? way->flags : "");
    expect_paths(way->scenario, kind, 0, flags, path, other ? other_path : NULL);
}

/* An event of the file that a descriptor stands for: its path is always the right one. */
static void expect_exact(const struct way *way, const char *kind, const char *path)
{
    expect_paths(way->scenario, kind, 0, strcmp(way->flags, "chroot") == 0 ? "chroot" : "-", path, NULL);
}

/* The calls of the *at family: all that there are on every architecture. `real` is the folder's path as the kernel sees it. */
static void at_calls(const struct way *way, const char *real)
{
    char path[256];
    struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0644};
    int d = way->dirfd;

    int fd = (int)must(syscall(SYS_openat, d, in(way, "f"), O_RDWR | O_CREAT, 0644), "openat");
    snprintf(path, sizeof(path), "%s/f", real);
    expect_exact(way, "open", path);
    close((int)must(syscall(SYS_openat, d, in(way, "f"), O_RDWR | O_CREAT, 0644), "openat again"));
    close((int)must(syscall(SYS_openat, d, in(way, "f"), O_WRONLY | O_TRUNC), "openat O_TRUNC"));
    expect_exact(way, "truncate", path);
    must(syscall(SYS_ftruncate, fd, 100), "ftruncate");
    expect_exact(way, "truncate", path);
    must(syscall(SYS_fchmod, fd, 0600), "fchmod");
    expect_exact(way, "chmod", path);
    must(syscall(SYS_fchown, fd, 0, 0), "fchown");
    expect_exact(way, "chown", path);
    must(syscall(SYS_fsetxattr, fd, XATTR, "1", 1, 0), "fsetxattr");
    expect_exact(way, "setxattr", path);
    must(syscall(SYS_fchownat, fd, "", 0, 0, AT_EMPTY_PATH), "fchownat of a descriptor");
    expect_exact(way, "chown", path);
    long r = syscall(SYS_openat2, d, in(way, "g"), &how, sizeof(how));
    if (r >= 0) {
        snprintf(path, sizeof(path), "%s/g", real);
        expect_exact(way, "open", path);
        how = (struct open_how){.flags = O_RDWR | O_TRUNC};
        close((int)r);
        close((int)must(syscall(SYS_openat2, d, in(way, "g"), &how, sizeof(how)), "openat2 O_TRUNC"));
        expect_exact(way, "truncate", path);
        must(syscall(SYS_unlinkat, d, in(way, "g"), 0), "unlinkat");
        expect(way, "unlink", "g", NULL);
    }
    must(syscall(SYS_fchmodat, d, in(way, "f"), 0644), "fchmodat");
    expect(way, "chmod", "f", NULL);
    must(syscall(SYS_fchownat, d, in(way, "f"), 0, 0, AT_SYMLINK_NOFOLLOW), "fchownat");
    expect(way, "chown", "f", NULL);
    must(syscall(SYS_linkat, d, in(way, "f"), d, in(way, "hard"), 0), "linkat");
    expect(way, "link", "f", "hard");
    must(syscall(SYS_renameat2, d, in(way, "hard"), d, in(way, "moved"), RENAME_NOREPLACE_FLAG), "renameat2");
    expect(way, "rename", "hard", "moved");
    must(syscall(SYS_symlinkat, "/no/where", d, in(way, "soft")), "symlinkat");
    expect(way, "symlink", "soft", NULL);
    must(syscall(SYS_mkdirat, d, in(way, "dir"), 0755), "mkdirat");
    expect(way, "mkdir", "dir", NULL);
    must(syscall(SYS_renameat2, d, in(way, "dir"), d, in(way, "f"), RENAME_EXCHANGE), "renameat2 RENAME_EXCHANGE");
    expect(way, "rename", "dir", "f");
    must(syscall(SYS_unlinkat, d, in(way, "f"), AT_REMOVEDIR), "unlinkat AT_REMOVEDIR");
    expect(way, "rmdir", "f", NULL);
    static const char *const left[] = {"dir", "moved", "soft"};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        must(syscall(SYS_unlinkat, d, in(way, left[i]), 0), "unlinkat");
        expect(way, "unlink", left[i], NULL);
    }
    close(fd);
}

/* Those with a path alone. */
static void path_calls(const struct way *way, const char *real)
{
#ifdef SYS_open
    char path[256];
    snprintf(path, sizeof(path), "%s/f", real);
    close((int)must(syscall(SYS_open, in(way, "f"), O_RDWR | O_CREAT | O_EXCL, 0644), "open"));
    expect_exact(way, "open", path);
    close((int)must(syscall(SYS_creat, in(way, "f"), 0644), "creat"));
    expect_exact(way, "truncate", path);
    must(syscall(SYS_rename, in(way, "f"), in(way, "g")), "rename");
    expect(way, "rename", "f", "g");
    must(syscall(SYS_renameat, way->dirfd, in(way, "g"), way->dirfd, in(way, "f")), "renameat");
    expect(way, "rename", "g", "f");
    must(syscall(SYS_link, in(way, "f"), in(way, "hard")), "link");
    expect(way, "link", "f", "hard");
    must(syscall(SYS_symlink, "f", in(way, "soft")), "symlink");
    expect(way, "symlink", "soft", NULL);
    must(syscall(SYS_mkdir, in(way, "dir"), 0755), "mkdir");
    expect(way, "mkdir", "dir", NULL);
    must(syscall(SYS_chmod, in(way, "f"), 0644), "chmod");
    expect(way, "chmod", "f", NULL);
    must(syscall(SYS_chown, in(way, "f"), 0, 0), "chown");
    expect(way, "chown", "f", NULL);
    must(syscall(SYS_lchown, in(way, "f"), 0, 0), "lchown");
    expect(way, "chown", "f", NULL);
    must(syscall(SYS_unlink, in(way, "hard")), "unlink");
    expect(way, "unlink", "hard", NULL);
    must(syscall(SYS_unlink, in(way, "soft")), "unlink");
    expect(way, "unlink", "soft", NULL);
    must(syscall(SYS_rmdir, in(way, "dir")), "rmdir");
    expect(way, "rmdir", "dir", NULL);
#else
    close((int)must(syscall(SYS_openat, way->dirfd, in(way, "f"), O_RDWR | O_CREAT, 0644), "openat"));
    char path[256];
    snprintf(path, sizeof(path), "%s/f", real);
    expect_exact(way, "open", path);
#endif
    must(syscall(SYS_truncate, in(way, "f"), 10), "truncate");
    expect(way, "truncate", "f", NULL);
    must(syscall(SYS_setxattr, in(way, "f"), XATTR, "1", 1, 0), "setxattr");
    expect(way, "setxattr", "f", NULL);
    must(syscall(SYS_lsetxattr, in(way, "f"), XATTR, "2", 1, 0), "lsetxattr");
    expect(way, "setxattr", "f", NULL);
    must(syscall(SYS_unlinkat, way->dirfd, in(way, "f"), 0), "unlinkat");
    expect(way, "unlink", "f", NULL);
}

static const char *below_folder(const char *name)
{
    char *path;
    must(asprintf(&path, "%s/%s", folder, name), "asprintf");
    return path;
}

/* Without events of its own in the books of this process: made by a child that exec'ed. */
static void prepare(void)
{
    char *command;
    must(asprintf(&command,
                  "cd '%s' && mkdir rel abs fd target sub sub/below root io io/dir && ln -s target link &&"
                  " echo secret >secret && chmod 600 secret && chmod 755 . && echo shown >shown && chmod 644 shown",
                  folder),
         "asprintf");
    must(-system(command), "prepare");
}

static void enter(const char *name)
{
    must(chdir(below_folder(name)), name);
}

static void all_ways(void)
{
    const struct way relative = {"relative", AT_FDCWD, "", below_folder("rel"), "-"};
    enter("rel");
    at_calls(&relative, relative.shown);
    path_calls(&relative, relative.shown);

    const char *abs = below_folder("abs/");
    const struct way absolute = {"absolute", AT_FDCWD, abs, below_folder("abs"), "unresolved"};
    at_calls(&absolute, absolute.shown);
    path_calls(&absolute, absolute.shown);

    const char *at = below_folder("fd");
    const struct way descriptor = {"descriptor", (int)must(open(at, O_PATH | O_DIRECTORY), at), "", at, "-"};
    at_calls(&descriptor, at);
    const struct way other = {"no_directory", 9999, abs, below_folder("abs"), "unresolved"};
    at_calls(&other, other.shown); /* the descriptor is not looked at */

    enter(".");
    const struct way through = {"through_a_link", AT_FDCWD, "link/", below_folder("link"), "unresolved"};
    at_calls(&through, below_folder("target"));
    path_calls(&through, below_folder("target"));
    const struct way deep = {"deep", AT_FDCWD, "./sub//below/", below_folder("sub/below"), "unresolved"};
    path_calls(&deep, deep.shown);
    enter("sub/below");
    const struct way up = {"up", AT_FDCWD, "../././../rel/../", folder, "unresolved"};
    path_calls(&up, folder);
    const struct way up_only = {"up_only", AT_FDCWD, "../.././", folder, "-"};
    at_calls(&up_only, folder);
    path_calls(&up_only, folder);
    enter("link"); /* what the kernel walks has no link in it any more */
    const struct way entered = {"entered_by_a_link", AT_FDCWD, "", below_folder("target"), "-"};
    path_calls(&entered, entered.shown);
}

static void in_child(void (*what)(void), bool as_thread)
{
    if (as_thread) {
        pthread_t thread;
        void *(*function)(void *) = (void *(*)(void *))(uintptr_t)what;
        must(-pthread_create(&thread, NULL, function, NULL), "pthread_create");
        pthread_join(thread, NULL);
        return;
    }
    int status;
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        what();
        exit(0);
    }
    must(waitpid(pid, &status, 0), "waitpid");
    if (status) {
        die("a child ended with status %d", status);
    }
}

static void in_chroot(void)
{
    must(chroot(below_folder("root")), "chroot");
    must(chdir("/"), "chdir");
    const struct way relative = {"chroot", AT_FDCWD, "", "", "chroot"};
    at_calls(&relative, "");
    const struct way absolute = {"chroot", AT_FDCWD, "/", "", "chroot"};
    path_calls(&absolute, "");
    const struct way up = {"chroot", AT_FDCWD, "../../", "", "chroot"};
    path_calls(&up, "");
}

static void not_allowed(void)
{
    must(setresgid(65534, 65534, 65534), "setresgid");
    must(setresuid(65534, 65534, 65534), "setresuid");
    enter(".");
    if (open("secret", O_RDONLY) >= 0 || errno != EACCES) {
        die("secret");
    }
    expect_paths("not_allowed", "open_failed", -EACCES, "-", below_folder("secret"), NULL);
    if (open(below_folder("secret"), O_RDWR) >= 0 || errno != EACCES) {
        die("secret");
    }
    expect_paths("not_allowed", "open_failed", -EACCES, "unresolved", below_folder("secret"), NULL);
    if (open("shown", O_RDONLY | O_NOATIME) >= 0 || errno != EPERM) {
        die("shown");
    }
    expect_paths("not_allowed", "open_failed", -EPERM, "-", below_folder("shown"), NULL);
    if (open("new", O_RDWR | O_CREAT, 0644) >= 0 || errno != EACCES) {
        die("new");
    }
    expect_paths("not_allowed", "open_failed", -EACCES, "-", below_folder("new"), NULL);
    must(-(unlink("shown") == 0 || mkdir("dir", 0755) == 0 || rename("shown", "g") == 0),
         "changes that are not allowed");
    close((int)must(open("shown", O_RDONLY), "shown"));
}

static void in_a_thread(void)
{
    enter(".");
    must(mkdir("of_a_thread", 0755), "mkdir");
    expect_paths("thread", "mkdir", 0, "-", below_folder("of_a_thread"), NULL);
}

/* What fails, and what changes nothing, makes no event. */
static void nothing(void)
{
    enter(".");
    must(-(mkdir("rel", 0755) == 0 || unlink("none") == 0 || rename("none", "g") == 0 || rmdir("sub") == 0 ||
           link("none", "g") == 0 || symlink("x", "rel") == 0 || chmod("none", 0) == 0 || open("none", O_RDWR) >= 0 ||
           truncate("none", 0) == 0 || open("rel", O_RDWR | O_TRUNC) >= 0 || mkdirat(9999, "x", 0) == 0),
         "what must fail");
    close((int)must(open("shown", O_RDWR | O_CREAT, 0644), "shown"));
    close((int)must(open("/dev/null", O_RDWR | O_CREAT | O_TRUNC, 0644), "/dev/null"));
    close((int)must(open("shown", O_PATH | O_TRUNC), "shown"));
}

#ifdef __x86_64__
static long call32(long number, long a, long b, long c, long d, long e)
{
    long ret;
    __asm__ volatile("mov %%rbp, %%r12\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "int $0x80\n\t"
                     "mov %%r12, %%rbp"
                     : "=a"(ret)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory", "cc", "r8", "r9", "r10", "r11", "r12");
    errno = (int)-ret;
    return (int)ret;
}

/* Some hypervisors let int $0x80 end a 64-bit program with SIGSEGV: tried by a child. */
static bool takes_compat_calls(void)
{
    int status;
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        _exit(call32(20, 0, 0, 0, 0, 0) == getpid() ? 0 : 1);
    }
    must(waitpid(pid, &status, 0), "waitpid");
    return status == 0;
}

static void compat(void)
{
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED) {
        die("mmap");
    }
    if (!takes_compat_calls()) {
        note("compat", "absent");
        return;
    }
    const struct way way = {"compat", AT_FDCWD, "", below_folder("rel"), "-"};
    long f = (long)low, g = (long)low + 16, d = (long)low + 32, at = AT_FDCWD;
    char path[256];
    strcpy(low, "f32");
    strcpy(low + 16, "g32");
    strcpy(low + 32, "d32");
    snprintf(path, sizeof(path), "%s/f32", way.shown);
    enter("rel");
    close((int)must(call32(5, f, O_RDWR | O_CREAT, 0644, 0, 0), "open (5)"));
    expect_exact(&way, "open", path);
    close((int)must(call32(295, at, f, O_RDWR | O_TRUNC, 0, 0), "openat (295)"));
    expect_exact(&way, "truncate", path);
    must(call32(38, f, g, 0, 0, 0), "rename (38)");
    expect(&way, "rename", "f32", "g32");
    must(call32(302, at, g, at, f, RENAME_EXCHANGE), "renameat (302)");
    expect(&way, "rename", "g32", "f32");
    must(call32(353, at, f, at, g, 0), "renameat2 (353)");
    expect(&way, "rename", "f32", "g32");
    must(call32(303, at, g, at, f, 0), "linkat (303)");
    expect(&way, "link", "g32", "f32");
    must(call32(92, f, 7, 0, 0, 0), "truncate (92)");
    expect(&way, "truncate", "f32", NULL);
    must(call32(212, f, 0, 0, 0, 0), "chown (212)");
    expect(&way, "chown", "f32", NULL);
    must(call32(10, f, 0, 0, 0, 0), "unlink (10)");
    expect(&way, "unlink", "f32", NULL);
    must(call32(301, at, g, 0, 0, 0), "unlinkat (301)");
    expect(&way, "unlink", "g32", NULL);
    must(call32(39, d, 0755, 0, 0, 0), "mkdir (39)");
    expect(&way, "mkdir", "d32", NULL);
    must(call32(301, at, d, AT_REMOVEDIR, 0, 0), "unlinkat (301)");
    expect(&way, "rmdir", "d32", NULL);
    call32(83, 0, 0, 0, 0, 0); /* symlink, and mkdir in 64 bits */
    call32(87, 0, 0, 0, 0, 0); /* swapon, and unlink in 64 bits */
}
#else
static void compat(void)
{
    note("compat", "absent");
}
#endif

/* One open file under three names: what is written under each. */
static void written(struct account *account, const char *path, int fd, size_t size)
{
    static const char data[100] = "";
    *account = (struct account){.path = path, .kind = "file"};
    must(count_write(account, ROUTE_RW, write(fd, data, size)), path);
    report("renamed", account);
}

static void renamed(void)
{
    struct account account;
    enter("io");
    int fd = (int)must(open("dir/old", O_RDWR | O_CREAT, 0644), "dir/old");
    expect_paths("renamed", "open", 0, "-", below_folder("io/dir/old"), NULL);
    written(&account, below_folder("io/dir/old"), fd, 10);
    enter("io/dir");
    must(rename("old", "new"), "rename");
    expect_paths("renamed", "rename", 0, "-/-", below_folder("io/dir/old"), below_folder("io/dir/new"));
    written(&account, below_folder("io/dir/new"), fd, 20);
    enter("io");
    must(rename("dir", "moved"), "rename");
    expect_paths("renamed", "rename", 0, "-/-", below_folder("io/dir"), below_folder("io/moved"));
    written(&account, below_folder("io/moved/new"), fd, 30);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: workload_events FOLDER\n");
        return 64;
    }
    folder = argv[1];
    umask(022);
    prepare();
    note("start", "-");
    all_ways();
    in_child(in_chroot, false);
    in_child(not_allowed, false);
    in_child(in_a_thread, true);
    nothing();
    compat();
    renamed();
    return 0;
}
