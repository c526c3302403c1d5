/* Grows until the kernel stops it.
 *
 *     leaker MIB [child] [file=FILE] [hold] [pace=MS]
 *
 * Takes MIB mebibytes in steps of 1 MiB and touches every page. `child`: a forked child does it, and this process waits
 * for it and lives on. `hold`: stay at that size instead of exiting. `pace=MS`: wait after every step. `file=FILE`:
 * append CLOCK_MONOTONIC in ns at the start and after every step (`start NS PID`, `step NS MIB`), so a test sees when it
 * ran and how far it got. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int file = -1;
static long pace;

static void note(const char *what, long value)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	char line[80];
	int length = snprintf(line, sizeof line, "%s %lld %ld\n", what, now.tv_sec * 1000000000LL + now.tv_nsec, value);
	if (file >= 0 && write(file, line, length) != length)
		_exit(74);
}

static void grow(long mebibytes)
{
	for (long step = 1; step <= mebibytes; step++) {
		char *at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			_exit(71);
		for (long offset = 0; offset < 1 << 20; offset += 4096)
			at[offset] = 1;
		note("step", step);
		if (pace)
			usleep(pace * 1000);
	}
}

int main(int argc, char **argv)
{
	int in_child = 0, hold = 0;
	if (argc < 2)
		return 64;
	for (int i = 2; i < argc; i++) {
		in_child |= strcmp(argv[i], "child") == 0;
		hold |= strcmp(argv[i], "hold") == 0;
		if (strncmp(argv[i], "pace=", 5) == 0)
			pace = atol(argv[i] + 5);
		if (strncmp(argv[i], "file=", 5) == 0)
			file = open(argv[i] + 5, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	}
	note("start", getpid());
	pid_t child = in_child ? fork() : 0;
	if (child == 0) {
		grow(atol(argv[1]));
	} else {
		waitpid(child, 0, 0);
		hold = 1;
	}
	while (hold)
		pause();
	return 0;
}
