/* Moves the wall clock of the program that loads it by the number of seconds in the file that SET_CLOCK names. The file is
 * read at each reading of the clock. Other clocks do not change. This is only for tests; no build of Signet contains it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *seconds;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("SET_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    void *octets = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (octets != MAP_FAILED)
        seconds = octets;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int outcome = (int)syscall(SYS_clock_gettime, clock, at);
    if (outcome == 0 && clock == CLOCK_REALTIME && seconds)
        at->tv_sec += *seconds;
    return outcome;
}
