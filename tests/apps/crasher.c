/* Says when it began to run, then crashes or waits to be killed.
 *
 *     crasher FILE exit [STATUS]   append the time, exit with STATUS (1)
 *     crasher FILE wait            append the time, wait for a signal
 *
 * One line for each run: CLOCK_MONOTONIC in nanoseconds, then the pid. One write(2) with O_APPEND, so that runs never
 * mix their lines. The clock is read before anything else: what counts is the first instruction, not libc's stdio. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc < 3)
		return 64;
	char line[64];
	int length = snprintf(line, sizeof line, "%lld %d\n", now.tv_sec * 1000000000LL + now.tv_nsec, getpid());
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, length) != length)
		return 74;
	close(fd);
	if (strcmp(argv[2], "exit") == 0)
		return argc > 3 ? atoi(argv[3]) : 1;
	for (;;)
		pause();
}
