/* What stands between the engine and the kernel in the torture runs: put before the program by LD_PRELOAD, it sees every
 * change to the files of one folder (the store's) and every look at the wall clock.
 *
 *   TORTURE_DIR      the folder, an absolute path without links; files below it are "watched"
 *   TORTURE_CONTROL  a file of two int64, mapped here and changed by the harness while we run:
 *                    [0] milliseconds the wall clock is shifted by, [1] bytes the folder may take (0: no bound)
 *   TORTURE_JOURNAL  where every change is written down in order; without it nothing is
 *   TORTURE_SYNC_US  microseconds that a sync takes longer, as on a slow disk: a cut then often falls before its end
 *   TORTURE_DEAF     if set, syncs do nothing and are written down as not done: what synchronous=OFF amounts to
 *
 * A record is written after the change it tells of, under one lock for all: so the journal is a prefix of what
 * happened, whenever the process is killed. A sync that is not in it was never answered.
 *
 * Real calls are made by syscall(2): no look-up of the next symbol, nothing to set up before the first call. The shared
 * memory of SQLite (-shm) is not watched: it is mapped, and built anew after a crash. CLOCK_MONOTONIC is left alone. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATED = 1, WROTE = 2, TRUNCATED = 3, SYNCED = 4, UNLINKED = 5, RENAMED = 6, NOT_SYNCED = 7 };
enum { FDS = 4096, NAME = 64, PATH = 4096 };

struct control { volatile int64_t shift_ms, quota; };
/* As the reader in Rust has it: little endian, 24 bytes, then the name, then the bytes. */
struct head { uint32_t magic; uint8_t op, zero; uint16_t name_len; uint64_t offset; uint32_t len, zero2; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct control *control;
static char dir[PATH];
static size_t dir_len;
static int journal = -1, deaf;
static unsigned sync_us;
static volatile char watched[FDS];
static char names[FDS][NAME]; /* relative to the folder; empty is the folder itself */

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("TORTURE_DIR"), *file = getenv("TORTURE_CONTROL"), *log = getenv("TORTURE_JOURNAL");
    if (where != NULL && strlen(where) < sizeof dir) dir_len = strlen(strcpy(dir, where));
    deaf = getenv("TORTURE_DEAF") != NULL;
    sync_us = getenv("TORTURE_SYNC_US") == NULL ? 0 : (unsigned)atoi(getenv("TORTURE_SYNC_US"));
    if (log != NULL) journal = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int fd = file == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        void *map = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) control = map;
        syscall(SYS_close, fd);
    }
}

/* The end of a guarded call: errno is the call's own, whatever the notes did. */
static long leave(long result, int error) {
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static int is_watched(int fd) { return fd >= 0 && fd < FDS && watched[fd]; }
/* The name below the folder, or NULL. Files are asked for by their path in /proc; what is removed or renamed is named in
 * full by the engine. */
static const char *below(const char *path) {
    if (dir_len == 0 || strncmp(path, dir, dir_len) != 0) return NULL;
    const char *rest = path + dir_len;
    if (*rest != '/') return *rest == 0 ? rest : NULL;
    size_t len = strlen(++rest);
    if (len >= NAME || (len >= 4 && strcmp(rest + len - 4, "-shm") == 0)) return NULL;
    return rest;
}

static void note(uint8_t op, const char *name, uint64_t offset, const void *data, uint32_t len) {
    if (journal < 0) return;
    struct head head = {0x54524f54, op, 0, (uint16_t)strlen(name), offset, len, 0};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)name, head.name_len}, {(void *)data, data ? len : 0}};
    if (syscall(SYS_writev, journal, parts, 3) < 0) abort(); /* a journal with a hole proves nothing */
}

/* What the folder takes on the disk: a sparse file takes nothing, and letting go of one makes no room. */
static int64_t used(void) {
    int64_t sum = 0;
    DIR *list = opendir(dir);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        struct stat st;
        size_t len = strlen(entry->d_name);
        if (len >= 4 && strcmp(entry->d_name + len - 4, "-shm") == 0) continue;
        if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) continue;
        int64_t blocks = (int64_t)st.st_blocks * 512;
        sum += st.st_size < blocks ? st.st_size : blocks;
    }
    if (list != NULL) closedir(list);
    return sum;
}

/* Whether a write that ends there has room. */
static int fits(int fd, int64_t end) {
    int64_t quota = control == NULL ? 0 : control->quota;
    struct stat st;
    if (quota <= 0 || fstat(fd, &st) != 0 || end <= st.st_size) return 1;
    return used() + end - st.st_size <= quota;
}

/* ---- opening and closing ---- */
static int open_any(int at, const char *path, int flags, mode_t mode) {
    int created = (flags & O_CREAT) != 0 && dir_len > 0 && faccessat(at, path, F_OK, 0) != 0;
    pthread_mutex_lock(&lock);
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= 0 && fd < FDS && dir_len > 0) {
        char link[64], real[PATH];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, real, sizeof real - 1);
        real[len < 0 ? 0 : len] = 0;
        const char *name = below(real);
        watched[fd] = name != NULL;
        if (name != NULL) {
            strcpy(names[fd], name);
            if (created) note(CREATED, name, 0, NULL, 0);
            else if ((flags & O_TRUNC) != 0 && *name) note(TRUNCATED, name, 0, NULL, 0);
        }
    }
    return (int)leave(fd, error);
}

/* The mode is there only when a file may be made. */
#define MODE(flags) ({ mode_t m = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list v; va_start(v, flags); \
                       m = va_arg(v, mode_t); va_end(v); } m; })
int open(const char *path, int flags, ...) { return open_any(AT_FDCWD, path, flags, MODE(flags)); }
int openat(int at, const char *path, int flags, ...) { return open_any(at, path, flags, MODE(flags)); }

int close(int fd) {
    if (is_watched(fd)) watched[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

/* ---- writing ---- */
static ssize_t really_write(int fd, const void *data, size_t len, off_t offset) {
    return offset < 0 ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, offset);
}

/* `offset` < 0: where the file stands. */
static ssize_t write_any(int fd, const void *data, size_t len, off_t offset) {
    if (!is_watched(fd)) return really_write(fd, data, len, offset);
    pthread_mutex_lock(&lock);
    off_t at = offset >= 0 ? offset : lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR);
    ssize_t done = -1;
    errno = ENOSPC;
    if (fits(fd, at + (int64_t)len)) done = really_write(fd, data, len, offset);
    int error = errno;
    if (done > 0) note(WROTE, names[fd], (uint64_t)at, data, (uint32_t)done);
    return leave(done, error);
}
ssize_t write(int fd, const void *data, size_t len) { return write_any(fd, data, len, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return write_any(fd, data, len, at); }

/* Several pieces: to a watched file they go one by one, which is what a short write allows anyway. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write_any(fd, parts[i].iov_base, parts[i].iov_len, offset < 0 ? -1 : offset + sum);
        if (done < 0) return sum > 0 ? sum : -1;
        sum += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return sum;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return is_watched(fd) ? write_parts(fd, parts, count, -1) : syscall(SYS_writev, fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return write_parts(fd, parts, count, at); }

int ftruncate(int fd, off_t size) {
    if (!is_watched(fd)) return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, size), error = errno;
    if (result == 0) note(TRUNCATED, names[fd], (uint64_t)size, NULL, 0);
    return (int)leave(result, error);
}

/* ---- syncing ---- */
static int sync_any(int fd, long call) {
    if (!is_watched(fd)) return (int)syscall(call, fd);
    if (sync_us > 0) usleep(sync_us);
    pthread_mutex_lock(&lock);
    int result = deaf ? 0 : (int)syscall(call, fd), error = errno;
    if (result == 0) note(deaf ? NOT_SYNCED : SYNCED, names[fd], 0, NULL, 0);
    return (int)leave(result, error);
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

/* ---- names ---- */
int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0), error = errno;
    const char *name = below(path);
    if (result == 0 && name != NULL) note(UNLINKED, name, 0, NULL, 0);
    return (int)leave(result, error);
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to), error = errno;
    const char *old = below(from), *new = below(to);
    if (result == 0 && old != NULL && new != NULL) note(RENAMED, old, 0, new, (uint32_t)strlen(new));
    return (int)leave(result, error);
}

/* ---- the wall clock ---- */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result != 0 || control == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
    int64_t ms = control->shift_ms, ns = now->tv_nsec + (ms % 1000) * 1000000;
    now->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
    now->tv_nsec = ns < 0 ? ns + 1000000000 : ns % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
    *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    return out == NULL ? now.tv_sec : (*out = now.tv_sec);
}

/* ---- the names of the same calls for large files, which are all of them ---- */
#define SAME(name) __attribute__((alias(#name)))
int open64(const char *path, int flags, ...) SAME(open);
int openat64(int at, const char *path, int flags, ...) SAME(openat);
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) SAME(pwrite);
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) SAME(pwritev);
int ftruncate64(int fd, off64_t size) SAME(ftruncate);
