/* Makes the failures of a disk real for one process: preloaded, it stands before the system calls that write.
 *
 * PERENNIAL_SHIM is KIND:N[:PATH]. The calls on files whose name ends in PATH (default ".segment", "MANIFEST" or "MANIFEST.tmp")
 * are counted from 0.
 *   short:N   every write from the N-th on writes at most N+1 bytes at a time
 *   eintr:N   every other write is interrupted first
 *   eio:N     the N-th write fails once, half of it done
 *   full:N    every write and reservation from the N-th on finds the disk full
 *   sync:N    the N-th fdatasync or fsync fails
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls, syncs;

static int is_kind(const char *kind, long *n) {
    const char *spec = getenv("PERENNIAL_SHIM");
    size_t len = strlen(kind);
    if (!spec || strncmp(spec, kind, len) || spec[len] != ':') return 0;
    *n = atol(spec + len + 1);
    return 1;
}

static int ends(const char *path, const char *end) {
    size_t a = strlen(path), b = strlen(end);
    return a >= b && !strcmp(path + a - b, end);
}

static int is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = 0;
    return ends(path, ".segment") || ends(path, "MANIFEST") || ends(path, "MANIFEST.tmp");
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t len, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) {
    long n;
    if (!getenv("PERENNIAL_SHIM") || !is_ours(fd)) return real_pwrite(fd, bytes, len, at);
    long call = atomic_fetch_add(&calls, 1);
    if (is_kind("short", &n) && call >= n) return real_pwrite(fd, bytes, len < (size_t)n + 1 ? len : (size_t)n + 1, at);
    if (is_kind("eintr", &n) && call % 2 == 0) { errno = EINTR; return -1; }
    if (is_kind("eio", &n) && call == n) { real_pwrite(fd, bytes, len / 2, at); errno = EIO; return -1; }
    if (is_kind("full", &n) && call >= n) { errno = ENOSPC; return -1; }
    return real_pwrite(fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }

static int sync_file(const char *name, int fd) {
    long n;
    if (is_kind("sync", &n) && is_ours(fd) && atomic_fetch_add(&syncs, 1) == n) { errno = EIO; return -1; }
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fdatasync(int fd) { return sync_file("fdatasync", fd); }
int fsync(int fd) { return sync_file("fsync", fd); }
