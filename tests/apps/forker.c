/* Forks children that sleep, up to a number, then prints how many it got and sleeps too.
 *
 *     forker CHILDREN [keep]
 *
 * `keep`: when fork(2) fails, try again for ever instead of giving up: a fork bomb. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long wanted = argc > 1 ? atol(argv[1]) : 10, got = 0;
	while (got < wanted) {
		pid_t child = fork();
		if (child == 0)
			for (;;)
				pause();
		if (child > 0)
			got++;
		else if (argc < 3)
			break;
	}
	printf("%ld children\n", got);
	fflush(stdout);
	for (;;)
		pause();
}
