/* Leaves a grandchild behind that tries everything a process can do to be forgotten: a session of its own, no parent
 * (double fork), no terminal, no open files, and no signal that ends it but SIGKILL.
 *
 *     escapee FILE [exit]
 *
 * The grandchild's pid is appended to FILE, a line for each run. `exit`: the main process exits 1 at once; otherwise it sleeps. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	int done[2];
	if (pipe(done))
		return 71;
	if (fork() == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		for (int number = 1; number < NSIG; number++)
			signal(number, SIG_IGN);
		FILE *file = fopen(argv[1], "a");
		if (file) {
			fprintf(file, "%d\n", getpid());
			fclose(file);
		}
		for (int fd = 0; fd < 256; fd++)
			close(fd);
		for (;;)
			pause();
	}
	/* The pipe ends when the last copy of its write end is closed: then FILE is written. */
	close(done[1]);
	char byte;
	while (read(done[0], &byte, 1) > 0)
		;
	if (argc > 2)
		return 1;
	for (;;)
		pause();
}
