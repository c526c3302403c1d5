/* Keeps connections alive, and dies of SIGTERM at once, whatever it is doing.
 *
 *     keeper PORT
 *
 * A question is a line with a number: the answer comes after so many milliseconds, and is a line with our pid. The
 * port is shared by its own doing (SO_REUSEPORT). One process for each connection. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void talk(int peer, int pid)
{
	char question[64], answer[64];
	ssize_t length;
	while ((length = read(peer, question, sizeof question - 1)) > 0) {
		question[length] = 0;
		usleep(atol(question) * 1000);
		if (write(peer, answer, snprintf(answer, sizeof answer, "%d\n", pid)) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, pid = getpid();
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) {
		perror("listen");
		return 1;
	}
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int peer = accept(fd, 0, 0);
		if (peer < 0)
			continue;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(fd);
			talk(peer, pid);
			_exit(0);
		}
		close(peer);
	}
}
