#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
#
# The real commands of test_exact.py, run in an empty folder. What they print goes to files, so that it is file I/O too.
set -u
PATH=/usr/local/bin:/usr/bin:/bin
export PATH HOME="$PWD" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2020-01-01 00:00:00 +0000' LC_ALL=C.UTF-8
has() { command -v "$1" > /dev/null 2>&1; }

mkdir in out tmp
TMPDIR="$PWD/tmp"
export TMPDIR

# 1-4: make something to work on
awk 'BEGIN { for (i = 0; i < 20000; i++) print (i * 7919) % 20000, "line", i }' > in/lines
dd if=/dev/zero of=in/zeros bs=64k count=16 2> out/dd.err
dd if=in/lines of=in/small_blocks bs=512 2>> out/dd.err
dd if=in/lines of=in/odd_blocks bs=777 conv=sync 2>> out/dd.err
dd if=in/lines of=in/direct bs=1 count=1500 skip=100 2>> out/dd.err
seq 1 5000 > in/numbers
printf 'quote " backslash \\ angle < >\n' > 'in/quote"back\angle<>'
printf 'new line in the name\n' > 'in/new
line'
printf 'not UTF-8\n' > "$(printf 'in/latin-\351')"

# copies
cp in/lines out/copy
cp -a in out/tree
cp --reflink=never --sparse=always in/zeros out/sparse
install -m 600 in/numbers out/installed
ln in/numbers out/hard
mv out/copy out/moved
cat in/lines in/numbers > out/cat
cat in/lines | cat | cat > out/pipeline
cat < in/numbers > /dev/null
tee out/tee1 out/tee2 < in/numbers > /dev/null

# archives
tar cf out/in.tar in
tar czf out/in.tar.gz in
mkdir out/untar
tar xf out/in.tar.gz -C out/untar
gzip -k -c in/lines > out/lines.gz
gunzip -c out/lines.gz > out/lines
gzip -t out/lines.gz
has xz && xz -k -c in/numbers > out/numbers.xz
has bzip2 && bzip2 -k -c in/numbers > out/numbers.bz2

# text
sort -S 100k -T tmp in/lines > out/sorted
sort -n in/numbers | uniq -c | tail -n 3 > out/uniq
grep -r line in > out/grep
grep -c nothing in/lines
sed -i 's/line/LINE/' out/lines
sed -n '5,10p' in/lines > out/sed
head -n 5 in/lines > out/head
tail -n 5 in/lines > out/tail
tail -c 1000 in/lines | wc -c > out/wc
split -l 3000 in/lines out/split.
diff in/lines out/lines > out/diff
cmp in/lines out/sorted > out/cmp
md5sum in/lines in/numbers > out/md5
md5sum -c out/md5 > out/md5.checked
sha256sum in/* > out/sha 2>&1
cut -d ' ' -f 1 in/lines | paste -s -d + > out/paste
tr a-z A-Z < in/lines > out/upper
od -A x -t x1 in/zeros | head -n 2 > out/od
find in -type f -print0 | xargs -0 wc -c > out/find
find in -name 'num*' -exec cat {} + > out/found
while read -r a b; do echo "$b $a"; done < out/head > out/loop
cat in > /dev/null 2> out/cat.err
cat nothing 2>> out/cat.err
cat <&- 2>> out/cat.err
echo lost > /dev/full 2> out/full.err
shred -u -n 1 out/tee2
truncate -s 1000 out/tee1

# programs
cat > tmp/main.c <<'END'
#include <stdio.h>
#include "part.h"
int main(void) { printf("%d\n", part()); return 0; }
END
echo 'int part(void);' > tmp/part.h
echo '#include "part.h"
int part(void) { return 42; }' > tmp/part.c
printf 'all: prog\nprog: main.o part.o\n\tgcc -o $@ $^\n%%.o: %%.c part.h\n\tgcc -c -O1 -g $< -o $@\n' > tmp/Makefile
make -C tmp -j2 > out/make 2>&1
gcc -pipe -o tmp/direct tmp/main.c tmp/part.c
tmp/prog > out/prog
ar rcs out/lib.a tmp/main.o tmp/part.o
nm tmp/prog > out/nm
strip -o out/stripped tmp/prog

git init -q out/repo
git -C out/repo config user.email nobody@localhost
git -C out/repo config user.name nobody
cp in/lines tmp/*.c out/repo
git -C out/repo add .
git -C out/repo commit -q -m first
echo more >> out/repo/main.c
git -C out/repo status > out/git.status
git -C out/repo diff > out/git.diff
git -C out/repo commit -q -a -m second
git -C out/repo grep -n LINE > out/git.grep
git -C out/repo log -p > out/git.log
git -C out/repo gc -q
git clone -q out/repo out/clone

if has sqlite3; then
    sqlite3 out/test.db 'create table t(a, b); insert into t values (1, 2); create index i on t(a);'
    sqlite3 out/test.db 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) insert into t select i, i * i from n;'
    sqlite3 out/test.db 'pragma journal_mode = wal; update t set b = b + 1; select sum(b) from t;' > out/sqlite
    sqlite3 out/test.db .dump | sqlite3 out/second.db
fi
/usr/bin/python3 - <<'END' > out/python
import json, os, shutil, subprocess, tempfile, threading
shutil.copy("in/lines", "out/python.copy")
with open("in/lines") as a, tempfile.TemporaryFile() as b:
    for line in a:
        b.write(line.encode())
    b.flush(); b.seek(0)
    print(len(b.read()))
def work(n):
    with open("in/numbers") as f:
        print(n, sum(int(line) for line in f))
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(subprocess.run(["cat", "in/numbers"], capture_output=True).stdout[-10:])
r, w = os.pipe()
if os.fork() == 0:
    os.write(w, open("in/zeros", "rb").read(1000)); os._exit(0)
os.wait(); print(len(os.read(r, 5000)))
memory = os.memfd_create("exact"); os.write(memory, b"some bytes")
with open("out/from memory", "wb") as out:
    os.sendfile(out.fileno(), memory, 0, 10)
gone = os.open("out/gone", os.O_RDWR | os.O_CREAT); os.unlink("out/gone")
os.write(gone, b"12345"); print(os.pread(gone, 3, 1), os.preadv(gone, [bytearray(2), bytearray(2)], 0))
os.writev(gone, [b"ab", b"cde"])
with open("in/zeros", "rb") as source, open("out/spliced", "wb") as target:
    r, w = os.pipe()
    for size in (100, 5000, 65536):
        os.splice(source.fileno(), w, size, offset_src=size)
        os.splice(r, target.fileno(), size)
    os.copy_file_range(source.fileno(), target.fileno(), 1234, 5)
END
if has perl; then
    perl -ne 'print if /7$/' in/numbers > out/perl
    perl -pi.bak -e 's/1/one/' out/installed
fi
exit 0
