// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_paths FOLDER: files with every kind of name and every way to reach them. Each scenario runs in a
 * process of its own with a folder of its own and reports the path and the flags that the ledger must show.
 *
 * workload_paths FOLDER before FIFO_READY FIFO_GO: one scenario apart, an fd that is open before the recording begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

static const char *folder; /* of all scenarios */
static const char *base;   /* of this one, absolute and without symbolic links */
static const char *scenario;

static char *join(const char *parent, const char *name)
{
    char *path;
    must(asprintf(&path, "%s/%s", parent, name), "asprintf");
    return path;
}

static void read_bytes(struct account *account, int fd, size_t size)
{
    char buf[100];
    if (count_read(account, ROUTE_RW, pread(fd, buf, size, 0)) != (ssize_t)size) {
        die("%s: pread", scenario);
    }
}

/* Reads `size` bytes of an open file that must be booked under this path, and reports it. */
static void read_as(const char *path, const char *kind, const char *flags, int fd, size_t size)
{
    struct account account = {.path = path, .kind = kind, .flags = flags};
    read_bytes(&account, fd, size);
    report(scenario, &account);
}

/* Makes DIR/NAME by way of an open folder, whatever the length of its path, and books a write and a read under `path`. */
static void use_name_at(int dir_fd, const char *name, const char *path)
{
    struct account account = {.path = path, .kind = "file"};
    int fd = (int)must(openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL, 0644), path);
    if (count_write(&account, ROUTE_RW, pwrite(fd, "0123456789", 10, 0)) != 10) {
        die("%s: pwrite", scenario);
    }
    read_bytes(&account, fd, 7);
    report(scenario, &account);
    close(fd);
}

static void use_name(const char *name)
{
    int dir_fd = (int)must(open(base, O_PATH | O_DIRECTORY), base);
    use_name_at(dir_fd, name, join(base, name));
    close(dir_fd);
}

static void names(void)
{
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = '\0';
    use_name(longest);
    /* 85 characters of three bytes */
    for (size_t i = 0; i < 255; i += 3) {
        memcpy(longest + i, "\xe2\x82\xac", 3);
    }
    use_name(longest);
    memset(longest, '\xff', 255);
    use_name(longest);
    use_name("new\nline");
    use_name("carriage\rreturn\ttab\aalarm\vvertical\bback");
    use_name("single'quote;drop table io;--");
    use_name("double\"quote");
    use_name("back\\slash and \\x41 and \\n");
    use_name("$1 %s %n {} ${HOME} `id`");
    use_name("comma,semicolon;tab\tpipe|");
    use_name("\x1b[31mred\x1b[0m\x1b]0;title\a");
    use_name("\xc2\x9b"
             "31m C1 control");
    use_name("right to left \xe2\x80\xae and zero width \xe2\x80\x8b");
    use_name("combining a\xcc\x81, wide \xe6\xbc\xa2, emoji \xf0\x9f\x98\x80");
    use_name("invalid \xff\xfe");
    use_name("invalid with back\\slash \x80");
    use_name("overlong \xc0\xaf and surrogate \xed\xa0\x80 and beyond \xf4\x90\x80\x80");
    use_name("cut short \xf0\x9f\x98");
    use_name(" leading and trailing ");
    use_name("really named (deleted)");
    use_name("(other files)");
    use_name("-rf");
    use_name("\x01\x02\x03\x7f");
}

/* A path of `total` bytes made of components of `step` bytes; the file's own name ends it. */
static void long_path(size_t total, size_t step)
{
    char *path = calloc(1, total + 300), component[256];
    strcpy(path, base);
    int dir_fd = (int)must(open(base, O_PATH | O_DIRECTORY), base);
    memset(component, 'd', step);
    component[step] = '\0';
    while (strlen(path) + 1 + step + 2 <= total) {
        must(mkdirat(dir_fd, component, 0755), "mkdirat");
        int next = (int)must(openat(dir_fd, component, O_PATH | O_DIRECTORY), "openat");
        close(dir_fd);
        dir_fd = next;
        strcat(path, "/");
        strcat(path, component);
    }
    size_t left = total - strlen(path) - 1;
    memset(component, 'f', left);
    component[left] = '\0';
    strcat(path, "/");
    strcat(path, component);
    use_name_at(dir_fd, component, path);
}

static void path_3950(void)
{
    long_path(3950, 200);
}

/* The longest path that fits into 4,096 bytes with its NUL. */
static void path_4095(void)
{
    long_path(4095, 250);
}

/* Longer than anybody's buffer: the ledger may cut it but must say so (see test_paths.py). */
static void path_6000(void)
{
    long_path(6000, 250);
}

static void deep(void)
{
    char *path = calloc(1, 8192);
    strcpy(path, base);
    int dir_fd = (int)must(open(base, O_PATH | O_DIRECTORY), base);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d%d", i);
        must(mkdirat(dir_fd, name, 0755), "mkdirat");
        int next = (int)must(openat(dir_fd, name, O_PATH | O_DIRECTORY), "openat");
        close(dir_fd);
        dir_fd = next;
        strcat(path, "/");
        strcat(path, name);
    }
    use_name_at(dir_fd, "bottom", join(path, "bottom"));
}

static void relative(void)
{
    must(mkdir(join(base, "a"), 0755), "mkdir");
    must(mkdir(join(base, "a/b"), 0755), "mkdir");
    must(chdir(join(base, "a/b")), "chdir");
    close(make_file("../file", "content", NULL));
    /* make_file's own pwrite is part of the account: 7 bytes. */
    struct account account = {.path = join(base, "a/file"), .kind = "file"};
    count_write(&account, ROUTE_RW, 7);
    int fd = (int)must(open("../../a/./b/../file", O_RDONLY), "open");
    read_bytes(&account, fd, 5);
    must(symlink("../file", "link"), "symlink");
    fd = (int)must(open("link", O_RDONLY), "open");
    read_bytes(&account, fd, 4);
    report(scenario, &account);
}

static int file_with_content(const char *path)
{
    int fd = (int)must(open(path, O_RDWR | O_CREAT | O_EXCL, 0644), path);
    must(ftruncate(fd, 64), "ftruncate");
    return fd;
}

static void bind_mount(void)
{
    char *from = join(base, "from"), *to = join(base, "to");
    must(mkdir(from, 0755), from);
    must(mkdir(to, 0755), to);
    must(mkdir(join(from, "sub"), 0755), from);
    close(file_with_content(join(from, "sub/file")));
    must(mount(from, to, NULL, MS_BIND, NULL), "mount --bind");
    read_as(join(to, "sub/file"), "file", NULL, (int)must(open(join(to, "sub/file"), O_RDONLY), to), 3);
    read_as(join(from, "sub/file"), "file", NULL, (int)must(open(join(from, "sub/file"), O_RDONLY), from), 4);
    must(umount2(to, MNT_DETACH), "umount");
    /* One file bound over another. */
    char *target = join(base, "target");
    close(file_with_content(target));
    must(mount(join(from, "sub/file"), target, NULL, MS_BIND, NULL), "mount --bind");
    read_as(target, "file", NULL, (int)must(open(target, O_RDONLY), target), 5);
    must(umount2(target, MNT_DETACH), "umount");
}

static void tmpfs(void)
{
    char *point = join(base, "point");
    must(mkdir(point, 0755), point);
    must(mount("tmpfs", point, "tmpfs", 0, NULL), "mount tmpfs");
    must(mkdir(join(point, "sub"), 0755), point);
    int fd = file_with_content(join(point, "sub/file"));
    read_as(join(point, "sub/file"), "file", NULL, fd, 3);
    close(fd);
    must(umount(point), "umount");
}

/* A file of a mount that is gone: there is no way to it any more. */
static void detached_mount(void)
{
    char *point = join(base, "point");
    must(mkdir(point, 0755), point);
    must(mount("tmpfs", point, "tmpfs", 0, NULL), "mount tmpfs");
    int fd = file_with_content(join(point, "file"));
    must(umount2(point, MNT_DETACH), "umount");
    read_as("/file", "file", "unreachable", fd, 3);
}

static void overlay(void)
{
    static const char *const folders[] = {"lower", "upper", "work", "merged"};
    for (size_t i = 0; i < 4; i++) {
        must(mkdir(join(base, folders[i]), 0755), folders[i]);
    }
    close(file_with_content(join(base, "lower/old")));
    close(file_with_content(join(base, "lower/copied up")));
    char *options;
    must(asprintf(&options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", base, base, base), "asprintf");
    if (mount("overlay", join(base, "merged"), "overlay", 0, options) < 0) {
        note(scenario, errno == ENODEV ? "absent" : "failed");
        return;
    }
    int fd = (int)must(open(join(base, "merged/old"), O_RDONLY), "open");
    read_as(join(base, "merged/old"), "file", NULL, fd, 3);
    close(fd);
    struct account account = {.path = join(base, "merged/copied up"), .kind = "file"};
    fd = (int)must(open(account.path, O_RDONLY), account.path);
    read_bytes(&account, fd, 4);
    close(fd);
    fd = (int)must(open(account.path, O_RDWR), account.path);
    count_write(&account, ROUTE_RW, pwrite(fd, "12345", 5, 0));
    read_bytes(&account, fd, 6);
    close(fd);
    report(scenario, &account);
    fd = file_with_content(join(base, "merged/new"));
    read_as(join(base, "merged/new"), "file", NULL, fd, 7);
    close(fd);
    must(umount(join(base, "merged")), "umount");
}

static void in_chroot(void)
{
    char *root = join(base, "root");
    must(mkdir(root, 0755), root);
    must(mkdir(join(root, "sub"), 0755), root);
    int outside = file_with_content(join(base, "outside"));
    must(chroot(root), "chroot");
    must(chdir("/"), "chdir");
    int fd = file_with_content("/sub/file");
    read_as("/sub/file", "file", "chroot", fd, 3);
    /* From here there is no way to what was opened outside. */
    read_as(join(base, "outside"), "file", "chroot,unreachable", outside, 4);
}

static void mount_namespace(void)
{
    char *point = join(base, "point");
    must(mkdir(point, 0755), point);
    must(unshare(CLONE_NEWNS), "unshare");
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
    must(mount("tmpfs", point, "tmpfs", 0, NULL), "mount tmpfs");
    int fd = file_with_content(join(point, "file"));
    read_as(join(point, "file"), "file", "mntns", fd, 3);
}

/* As a container does it: the new root is the root of the mount namespace. */
static void pivoted_root(void)
{
    char *root = join(base, "root");
    must(mkdir(root, 0755), root);
    must(unshare(CLONE_NEWNS), "unshare");
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
    must(mount("tmpfs", root, "tmpfs", 0, NULL), "mount tmpfs");
    must(chdir(root), "chdir");
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount");
    must(chdir("/"), "chdir");
    int fd = file_with_content("/file");
    read_as("/file", "file", "mntns", fd, 3);
}

static void deleted(void)
{
    char *path = join(base, "deleted before");
    int fd = file_with_content(path);
    must(unlink(path), path);
    read_as(path, "file", "deleted", fd, 3);

    /* Read under its name, and again when the name has gone. */
    path = join(base, "deleted between");
    fd = file_with_content(path);
    read_as(path, "file", NULL, fd, 4);
    must(unlink(path), path);
    read_as(path, "file", "deleted", fd, 5);

    /* A second file of the same name is another file. */
    struct account twice = {.path = join(base, "twice"), .kind = "file"};
    fd = file_with_content(twice.path);
    read_bytes(&twice, fd, 6);
    close(fd);
    must(unlink(twice.path), twice.path);
    fd = file_with_content(twice.path);
    read_bytes(&twice, fd, 2);
    report(scenario, &twice);
}

static void unnamed(void)
{
    int fd = (int)must(open(base, O_TMPFILE | O_RDWR, 0644), "O_TMPFILE");
    must(ftruncate(fd, 64), "ftruncate");
    struct stat status;
    must(fstat(fd, &status), "fstat");
    char *name;
    must(asprintf(&name, "%s/#%lu", base, status.st_ino), "asprintf");
    read_as(name, "file", "deleted", fd, 3);
    fd = (int)must(memfd_create("name with \n and \xff", 0), "memfd_create");
    must(ftruncate(fd, 64), "ftruncate");
    read_as("/memfd:name with \n and \xff", "memfd", NULL, fd, 4);
}

static void renamed(void)
{
    char *before = join(base, "before"), *after = join(base, "after"), *moved = join(base, "sub/moved");
    int fd = file_with_content(before);
    read_as(before, "file", NULL, fd, 3);
    must(rename(before, after), "rename");
    read_as(after, "file", NULL, fd, 4);
    must(mkdir(join(base, "sub"), 0755), "mkdir");
    must(rename(after, moved), "rename");
    int again = (int)must(open(moved, O_RDONLY), moved);
    read_as(moved, "file", NULL, again, 5);
}

/* A folder above the file is renamed. */
static void renamed_above(void)
{
    must(mkdir(join(base, "old"), 0755), "mkdir");
    int fd = file_with_content(join(base, "old/file"));
    read_as(join(base, "old/file"), "file", NULL, fd, 3);
    must(rename(join(base, "old"), join(base, "new")), "rename");
    close(fd);
    fd = (int)must(open(join(base, "new/file"), O_RDONLY), "open");
    read_as(join(base, "new/file"), "file", NULL, fd, 4);
}

/* Each of several open files in turn, as many times as there are: what the recorder remembers of one is asked for again and again. */
static void read_in_turn(const char *in, const char *const names[], const char *const flags[], const int fds[],
                         size_t n)
{
    struct account accounts[8] = {0};

    for (size_t i = 0; i < n; i++)
        accounts[i] = (struct account){.path = join(join(base, in), names[i]), .kind = "file", .flags = flags[i]};
    for (size_t round = 0; round < n; round++) {
        for (size_t i = 0; i < n; i++)
            read_bytes(&accounts[i], fds[i], 1 + i);
    }
    for (size_t i = 0; i < n; i++)
        report(scenario, &accounts[i]);
}

/* Files that are used in turn, fewer and more than a thread's place has room for; between the turns their folder is renamed, and one is deleted. */
static void in_turn(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    static const char *const kept[8] = {NULL}, *const deleted[8] = {NULL, "deleted"};

    for (size_t n = 3; n <= 7; n += 4) {
        const char *before = n == 3 ? "few" : "many", *after = n == 3 ? "few after" : "many after";
        int fds[8];

        must(mkdir(join(base, before), 0755), "mkdir");
        for (size_t i = 0; i < n; i++)
            fds[i] = file_with_content(join(join(base, before), names[i]));
        read_in_turn(before, names, kept, fds, n);
        must(rename(join(base, before), join(base, after)), "rename");
        must(unlink(join(join(base, after), names[1])), "unlink");
        read_in_turn(after, names, deleted, fds, n);
    }
}

static void hard_links(void)
{
    char *one = join(base, "one"), *two = join(base, "two");
    int fd = file_with_content(one);
    must(link(one, two), "link");
    read_as(one, "file", NULL, fd, 3);
    fd = (int)must(open(two, O_RDONLY), two);
    read_as(two, "file", NULL, fd, 4);
}

/* One inode under more names than there are places where its number leads to; there and back. */
static void many_links(void)
{
    enum { LINKS = 40 };
    struct account accounts[LINKS] = {0};
    int fds[LINKS];

    close(file_with_content(join(base, "link0")));
    for (size_t i = 0; i < LINKS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "link%zu", i);
        char *path = join(base, name);
        if (i > 0)
            must(link(join(base, "link0"), path), "link");
        fds[i] = (int)must(open(path, O_RDONLY), path);
        accounts[i] = (struct account){.path = path, .kind = "file"};
        read_bytes(&accounts[i], fds[i], 1 + i);
    }
    for (size_t i = LINKS; i-- > 0;)
        read_bytes(&accounts[i], fds[i], 2 + i);
    for (size_t i = 0; i < LINKS; i++)
        report(scenario, &accounts[i]);
}

/* A file that is new, in a folder that is known, by the path that it has by then. */
static void read_new_in(const char *in, const char *name)
{
    char *path = join(join(base, in), name);
    int fd = file_with_content(path);
    read_as(path, "file", NULL, fd, 5);
    close(fd);
}

/* What leads to a known folder changes, and then it is used once more: renamed, far above it too, exchanged, mounted elsewhere, deleted and made anew. */
static void known_folders(void)
{
    for (size_t i = 0; i < 2; i++) {
        static const char *const tops[] = {"top", "other"};
        must(mkdir(join(base, tops[i]), 0755), "mkdir");
        must(mkdir(join(join(base, tops[i]), "middle"), 0755), "mkdir");
        must(mkdir(join(join(base, tops[i]), "middle/in"), 0755), "mkdir");
    }
    read_new_in("top/middle/in", "a");
    read_new_in("other/middle/in", "a");
    read_new_in("top/middle/in", "b");
    must(rename(join(base, "top/middle/in"), join(base, "top/middle/out")), "rename");
    read_new_in("top/middle/out", "c");
    must(rename(join(base, "top"), join(base, "bottom")), "rename");
    read_new_in("bottom/middle/out", "d");
    must((int)syscall(SYS_renameat2, AT_FDCWD, join(base, "bottom"), AT_FDCWD, join(base, "other"), RENAME_EXCHANGE),
         "renameat2");
    read_new_in("other/middle/out", "e");
    read_new_in("bottom/middle/in", "e");
    must(mkdir(join(base, "mounted"), 0755), "mkdir");
    must(mount(join(base, "other/middle"), join(base, "mounted"), NULL, MS_BIND, NULL), "mount");
    read_new_in("mounted/out", "f");
    read_new_in("other/middle/out", "g");
    must(umount2(join(base, "mounted"), 0), "umount");
    must(mount(join(base, "bottom/middle"), join(base, "mounted"), NULL, MS_BIND, NULL), "mount");
    read_new_in("mounted/in", "h");
    must(umount2(join(base, "mounted"), 0), "umount");
    must(mkdir(join(base, "short"), 0755), "mkdir");
    read_new_in("short", "i");
    must(unlink(join(base, "short/i")), "unlink");
    must(rmdir(join(base, "short")), "rmdir");
    must(mkdir(join(base, "short"), 0755), "mkdir");
    read_new_in("short", "j");
}

/* The sender opens, the receiver reads, and has never opened anything itself. */
static void received(void)
{
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    char *path = join(base, "file"), byte = 'x';
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        must(prctl(PR_SET_NAME, "receiver"), "prctl");
        must(recvmsg(pair[1], &message, 0), "recvmsg");
        int fd;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        read_as(path, "file", NULL, fd, 3);
        exit(0);
    }
    int fd = file_with_content(path), status;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    must(sendmsg(pair[0], &message, 0), "sendmsg");
    must(waitpid(pid, &status, 0), "waitpid");
    if (status) {
        die("the receiver failed");
    }
}

/* Names of processes are as hostile as those of files. */
static void comms(void)
{
    static const char *const comms[] = {"new\nline",     "\x1b[31mred",      "q'uo\"te\\",
                                        "bad\xff\\utf8", "cut \xf0\x9f\x98", "; drop table io"};
    for (size_t i = 0; i < sizeof(comms) / sizeof(comms[0]); i++) {
        must(prctl(PR_SET_NAME, comms[i]), "prctl");
        pid_t pid = (pid_t)must(fork(), "fork"); /* the child's row has its parent's comm of this time */
        if (pid == 0) {
            char name[16], hex[40] = "";
            snprintf(name, sizeof(name), "comm%zu", i);
            for (const char *p = comms[i]; *p; p++) {
                sprintf(hex + strlen(hex), "%02x", (unsigned char)*p);
            }
            note("comm", hex);
            read_as(join(base, name), "file", NULL, file_with_content(join(base, name)), 3);
            exit(0);
        }
        int status;
        must(waitpid(pid, &status, 0), "waitpid");
        if (status) {
            die("the child with its comm failed");
        }
    }
}

static void run(const char *name, void (*function)(void))
{
    scenario = name;
    base = join(folder, name);
    must(mkdir(base, 0755), base);
    errno = 0;
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        function();
        exit(0);
    }
    int status;
    must(waitpid(pid, &status, 0), "waitpid");
    if (status) {
        die("%s: the scenario failed with %d", name, status);
    }
}

static void opened_before(const char *ready, const char *go)
{
    scenario = "opened_before";
    base = folder;
    int fd = file_with_content(join(base, "opened before")),
        gone = file_with_content(join(base, "opened before and deleted"));
    must(unlink(join(base, "opened before and deleted")), "unlink");
    must(lseek(fd, 2, SEEK_SET), "lseek");
    close((int)must(open(ready, O_WRONLY), ready));
    /* Open and no read: what waits for the recorder must not itself depend on what is recorded. */
    close((int)must(open(go, O_RDONLY), go));
    read_as(join(base, "opened before"), "file", NULL, fd, 3);
    read_as(join(base, "opened before and deleted"), "file", "deleted", gone, 4);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 5) {
        fprintf(stderr, "usage: workload_paths FOLDER [before FIFO_READY FIFO_GO]\n");
        return 64;
    }
    folder = realpath(argv[1], NULL);
    if (!folder) {
        die("%s", argv[1]);
    }
    note("start", "-");
    if (argc == 5) {
        opened_before(argv[3], argv[4]);
        return 0;
    }
    run("names", names);
    run("path_3950", path_3950);
    run("path_4095", path_4095);
    run("path_6000", path_6000);
    run("deep", deep);
    run("relative", relative);
    run("bind_mount", bind_mount);
    run("tmpfs", tmpfs);
    run("detached_mount", detached_mount);
    run("overlay", overlay);
    run("chroot", in_chroot);
    run("mount_namespace", mount_namespace);
    run("pivoted_root", pivoted_root);
    run("deleted", deleted);
    run("unnamed", unnamed);
    run("renamed", renamed);
    run("renamed_above", renamed_above);
    run("in_turn", in_turn);
    run("hard_links", hard_links);
    run("many_links", many_links);
    run("known_folders", known_folders);
    run("received", received);
    run("comms", comms);
    return 0;
}
