/* Stands between a process and its C library, and at the N-th chosen call below a path kills the
   process or has the call fail.

   gcc -shared -fPIC -O2 -o shim.so shim.c -ldl; then LD_PRELOAD=shim.so python ..., which drives it
   by ctypes (shim.py): arming in a forked child leaves its parent alone. Calls are chosen by kind:
   write, fsync, truncate, rename, link, unlink, rmdir, mkdir, openw (opened for writing), read,
   openr. What is counted, and what was hit, goes to memory that parent and child share, since a
   killed child can no longer tell. */
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
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct told {
  long count;      /* chosen calls so far */
  char what[1016]; /* kind and path of the one that was hit */
};

static char kinds[256], below[1024];
static long target;
static int failure, lasting, armed;
static struct told alone, *told = &alone;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* which: kinds as ",write,fsync,"; path: part of the path, "" for all; n: which call, from 1, 0 for
   none (count only); error: errno to fail with, 0 to kill; all: fail every call from the n-th on. */
void shim_arm(const char *which, const char *path, long n, int error, int all, void *shared) {
  snprintf(kinds, sizeof kinds, "%s", which);
  snprintf(below, sizeof below, "%s", path);
  target = n, failure = error, lasting = all;
  told = shared ? shared : &alone;
  told->count = 0, told->what[0] = 0;
  armed = 1;
}

void shim_disarm(void) { armed = 0; }

static int chosen(const char *kind) {
  char word[32];
  snprintf(word, sizeof word, ",%s,", kind);
  return strstr(kinds, word) != NULL;
}

/* Whether the call must fail, with errno set; a call that must kill does not return. */
static int hit(const char *kind, const char *path) {
  if (!strstr(path, below)) return 0;
  pthread_mutex_lock(&turn);
  long number = ++told->count;
  int now = target > 0 && (number == target || (lasting && number > target));
  if (now && number == target)
    snprintf(told->what, sizeof told->what, "%s %.900s", kind, path);
  if (now && !failure) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  pthread_mutex_unlock(&turn);
  if (now) errno = failure;
  return now;
}

static int hit_fd(const char *kind, int fd) {
  if (!armed || !chosen(kind)) return 0;
  int before = errno;
  char link[64], path[1024];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length < 0) return 0;
  path[length] = 0;
  return hit(kind, path);
}

/* A path relative to a folder's descriptor is known by the folder. */
static int hit_at(const char *kind, int dir, const char *path) {
  if (!armed || !path || !chosen(kind)) return 0;
  if (path[0] == '/') return hit(kind, path);
  if (dir != AT_FDCWD) return hit_fd(kind, dir);
  char here[2048];
  if (!getcwd(here, 1024)) return hit(kind, path);
  snprintf(here + strlen(here), 1000, "/%s", path);
  return hit(kind, here);
}

#define REAL(name)                                    \
  static __typeof__(&name) real;                      \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define ON_FD(kind, type, name, args, call, fd) \
  type name args {                              \
    REAL(name);                                 \
    if (hit_fd(kind, fd)) return -1;            \
    return real call;                           \
  }

#define ON_PATH(kind, name, args, call, dir, path) \
  int name args {                                  \
    REAL(name);                                    \
    if (hit_at(kind, dir, path)) return -1;        \
    return real call;                              \
  }

ON_FD("write", ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), fd)
ON_FD("write", ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), fd)
ON_FD("write", ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o), fd)
ON_FD("write", ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), fd)
ON_FD("write", ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o), fd)
ON_FD("write", ssize_t, sendfile, (int fd, int in, off_t *o, size_t n), (fd, in, o, n), fd)
ON_FD("write", ssize_t, sendfile64, (int fd, int in, off64_t *o, size_t n), (fd, in, o, n), fd)
ON_FD("write", ssize_t, copy_file_range,
      (int in, off64_t *i, int fd, off64_t *o, size_t n, unsigned f), (in, i, fd, o, n, f), fd)
ON_FD("write", int, fallocate, (int fd, int m, off_t o, off_t n), (fd, m, o, n), fd)
ON_FD("write", int, fallocate64, (int fd, int m, off64_t o, off64_t n), (fd, m, o, n), fd)
ON_FD("read", ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), fd)
ON_FD("read", ssize_t, pread, (int fd, void *b, size_t n, off_t o), (fd, b, n, o), fd)
ON_FD("read", ssize_t, pread64, (int fd, void *b, size_t n, off64_t o), (fd, b, n, o), fd)
ON_FD("read", ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), fd)
ON_FD("read", ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o), fd)
ON_FD("fsync", int, fsync, (int fd), (fd), fd)
ON_FD("fsync", int, fdatasync, (int fd), (fd), fd)
ON_FD("truncate", int, ftruncate, (int fd, off_t n), (fd, n), fd)
ON_FD("truncate", int, ftruncate64, (int fd, off64_t n), (fd, n), fd)

ON_PATH("rename", rename, (const char *a, const char *b), (a, b), AT_FDCWD, b)
ON_PATH("rename", renameat, (int d, const char *a, int e, const char *b), (d, a, e, b), e, b)
ON_PATH("rename", renameat2, (int d, const char *a, int e, const char *b, unsigned f),
        (d, a, e, b, f), e, b)
ON_PATH("link", link, (const char *a, const char *b), (a, b), AT_FDCWD, b)
ON_PATH("link", linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f), e, b)
ON_PATH("link", symlink, (const char *a, const char *b), (a, b), AT_FDCWD, b)
ON_PATH("unlink", unlink, (const char *a), (a), AT_FDCWD, a)
ON_PATH("unlink", unlinkat, (int d, const char *a, int f), (d, a, f), d, a)
ON_PATH("rmdir", rmdir, (const char *a), (a), AT_FDCWD, a)
ON_PATH("mkdir", mkdir, (const char *a, mode_t m), (a, m), AT_FDCWD, a)
ON_PATH("mkdir", mkdirat, (int d, const char *a, mode_t m), (d, a, m), d, a)
ON_PATH("truncate", truncate, (const char *a, off_t n), (a, n), AT_FDCWD, a)

#define MODE(flags)                                  \
  mode_t mode = 0;                                   \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {           \
    va_list rest;                                    \
    va_start(rest, flags);                           \
    mode = va_arg(rest, mode_t);                     \
    va_end(rest);                                    \
  }
#define FOR(flags) (((flags) & (O_WRONLY | O_RDWR)) ? "openw" : "openr")

#define OPEN(name)                                            \
  int name(const char *path, int flags, ...) {                \
    REAL(name);                                               \
    MODE(flags)                                               \
    if (hit_at(FOR(flags), AT_FDCWD, path)) return -1;        \
    return real(path, flags, mode);                           \
  }
#define OPENAT(name)                                          \
  int name(int dir, const char *path, int flags, ...) {       \
    REAL(name);                                               \
    MODE(flags)                                               \
    if (hit_at(FOR(flags), dir, path)) return -1;             \
    return real(dir, path, flags, mode);                      \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

FILE *fopen(const char *path, const char *mode) {
  REAL(fopen);
  if (hit_at(strpbrk(mode, "wa+") ? "openw" : "openr", AT_FDCWD, path)) return NULL;
  return real(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
  REAL(fopen64);
  if (hit_at(strpbrk(mode, "wa+") ? "openw" : "openr", AT_FDCWD, path)) return NULL;
  return real(path, mode);
}
