/* The floor under every restart: a bare loop of fork, exec and waitpid.
 *
 *     floor PROGRAM [ARG...]
 *
 * Runs PROGRAM again each time it ends. No supervisor that forks and waits can be quicker. */
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	for (;;) {
		pid_t child = fork();
		if (child == 0) {
			/* The bench may be killed: nothing stays behind. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			execv(argv[1], argv + 1);
			_exit(127);
		}
		if (child < 0 || waitpid(child, 0, 0) < 0)
			return 71;
	}
}
