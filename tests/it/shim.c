/*
 * Stands between a program and the disk: notes every call that changes files below a folder, in
 * order; ends the process before the n-th of them, or makes that one and all later ones fail.
 *
 *   SHIM_ROOT   the folder
 *   SHIM_LOG    where to note: operation, path, second path, separated by tabs; one call a line
 *   SHIM_KILL   end the process (SIGKILL) at this call; a write is done by half first
 *   SHIM_FAIL   fail from this call on, with the error SHIM_ERRNO
 *
 * A sync is noted when it is done, everything else before it is tried. Writing to standard output
 * is noted as `ack` and is not counted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *root;
static size_t root_length;
/* The folder that names the root: whether it is synced matters too. */
static char above[4096];
static int notes = -1;
static long kill_at, fail_at, error_number, count;

static void start(void) {
    const char *text;
    root = getenv("SHIM_ROOT");
    root_length = root ? strlen(root) : 0;
    snprintf(above, sizeof above, "%s", root ? root : "");
    char *slash = strrchr(above, '/');
    if (slash) *slash = 0;
    if ((text = getenv("SHIM_LOG")))
        notes = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    kill_at = (text = getenv("SHIM_KILL")) ? atol(text) : 0;
    fail_at = (text = getenv("SHIM_FAIL")) ? atol(text) : 0;
    error_number = (text = getenv("SHIM_ERRNO")) ? atol(text) : EIO;
}

static int inside(const char *path) {
    pthread_once(&once, start);
    if (root && path && above[0] && strcmp(path, above) == 0) return 1;
    return root && path && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static void note(const char *operation, const char *path, const char *other) {
    char line[9000];
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", operation, path, other);
    if (notes >= 0 && length > 0 && length < (int)sizeof line)
        syscall(SYS_write, notes, line, length);
}

/* What is to become of a call: 0 do it, 1 do half of it (a write), -1 it failed. */
static int step(const char *operation, const char *path, const char *other) {
    int fate = 0;
    int sync = strncmp(operation, "fsync", 5) == 0;
    int frees = strcmp(operation, "unlink") == 0;
    pthread_mutex_lock(&lock);
    count++;
    if (kill_at && count >= kill_at) {
        if (strcmp(operation, "write") == 0 && count == kill_at)
            fate = 1;
        else
            kill(getpid(), SIGKILL);
    } else if (fail_at && count >= fail_at) {
        /* A full disk lets files go and be synced; one that cannot be written still syncs. */
        int spared = (error_number == ENOSPC && (sync || frees)) || (error_number == EROFS && sync);
        if (!spared)
            fate = strcmp(operation, "write") == 0 && count == fail_at && error_number == ENOSPC ? 1 : -1;
    }
    if (fate >= 0 && !sync)
        note(operation, path, other);
    pthread_mutex_unlock(&lock);
    if (fate < 0)
        errno = (int)error_number;
    return fate;
}

static const char *path_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, size - 1);
    if (length < 0)
        return NULL;
    buffer[length] = 0;
    return buffer;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define OPEN(name, at_parameters, at_arguments)                                   \
    int name(at_parameters const char *path, int flags, ...) {                    \
        REAL(name);                                                               \
        mode_t mode = 0;                                                          \
        if (flags & (O_CREAT | O_TMPFILE)) {                                      \
            va_list list;                                                         \
            va_start(list, flags);                                                \
            mode = va_arg(list, mode_t);                                          \
            va_end(list);                                                         \
        }                                                                         \
        if ((flags & O_CREAT) && inside(path) && step("create", path, "") < 0)    \
            return -1;                                                            \
        return real(at_arguments path, flags, mode);                              \
    }
#define COMMA ,
OPEN(open, , )
OPEN(open64, , )
OPEN(openat, int folder COMMA, folder COMMA)
OPEN(openat64, int folder COMMA, folder COMMA)

/* Decides about a write to an open file: -1 it failed, else how many bytes are to be written. */
static ssize_t writing(int fd, size_t size) {
    char buffer[4096];
    const char *path;
    pthread_once(&once, start);
    if (!root || fd == notes)
        return (ssize_t)size;
    if (fd == 1) {
        note("ack", "", "");
        return (ssize_t)size;
    }
    path = path_of(fd, buffer, sizeof buffer);
    if (!inside(path))
        return (ssize_t)size;
    int fate = step("write", path, "");
    if (fate == 1 && size < 2 && !kill_at) {
        errno = (int)error_number;
        return -1;
    }
    return fate < 0 ? -1 : fate == 0 ? (ssize_t)size : (ssize_t)(size / 2);
}

static void after_half(void) {
    if (kill_at && count >= kill_at)
        kill(getpid(), SIGKILL);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    ssize_t wanted = writing(fd, size);
    if (wanted < 0)
        return -1;
    ssize_t done = real(fd, data, (size_t)wanted);
    after_half();
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(writev);
    size_t size = 0;
    for (int i = 0; i < number; i++)
        size += parts[i].iov_len;
    ssize_t wanted = writing(fd, size);
    if (wanted < 0)
        return -1;
    ssize_t done = (size_t)wanted == size ? real(fd, parts, number) : real(fd, parts, 1);
    after_half();
    return done;
}

#define PWRITE(name, offset_type)                                                 \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset) {     \
        REAL(name);                                                               \
        ssize_t wanted = writing(fd, size);                                       \
        if (wanted < 0)                                                           \
            return -1;                                                            \
        ssize_t done = real(fd, data, (size_t)wanted, offset);                    \
        after_half();                                                             \
        return done;                                                              \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define SYNC(name)                                                                \
    int name(int fd) {                                                            \
        REAL(name);                                                               \
        char buffer[4096];                                                        \
        const char *path = path_of(fd, buffer, sizeof buffer);                    \
        if (!inside(path))                                                        \
            return real(fd);                                                      \
        if (step("fsync", path, "") < 0)                                          \
            return -1;                                                            \
        int done = real(fd);                                                      \
        if (done == 0)                                                            \
            note("fsync", path, "");                                              \
        return done;                                                              \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, offset_type)                                               \
    int name(int fd, offset_type size) {                                          \
        REAL(name);                                                               \
        char buffer[4096];                                                        \
        const char *path = path_of(fd, buffer, sizeof buffer);                    \
        if (inside(path) && step("write", path, "") < 0)                          \
            return -1;                                                            \
        return real(fd, size);                                                    \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int rename(const char *from, const char *to) {
    REAL(rename);
    return inside(to) && step("rename", from, to) < 0 ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    return inside(to) && step("rename", from, to) < 0 ? -1 : real(from_folder, from, to_folder, to);
}

int link(const char *from, const char *to) {
    REAL(link);
    return inside(to) && step("link", from, to) < 0 ? -1 : real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(linkat);
    return inside(to) && step("link", from, to) < 0 ? -1 : real(from_folder, from, to_folder, to, flags);
}

int unlink(const char *path) {
    REAL(unlink);
    return inside(path) && step("unlink", path, "") < 0 ? -1 : real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    return inside(path) && step("unlink", path, "") < 0 ? -1 : real(folder, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return inside(path) && step("mkdir", path, "") < 0 ? -1 : real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    return inside(path) && step("mkdir", path, "") < 0 ? -1 : real(folder, path, mode);
}
