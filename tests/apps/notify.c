/* Says READY=1 to $NOTIFY_SOCKET, as sd_notify(3) does, then sleeps.
 *
 *     notify [MS] [child|stranger]
 *
 * MS: wait that long before. `child`: a forked child says it, which is allowed (it is in the same cgroup).
 * `stranger`: the child moves itself to the root cgroup first, which must not be believed. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!path || strlen(path) >= sizeof address.sun_path)
		return 78;
	size_t length = strlen(path);
	memcpy(address.sun_path, path, length);
	/* systemd spells an abstract address with an @ where the kernel wants a NUL. */
	if (path[0] == '@')
		address.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + length;
	return fd < 0 || sendto(fd, "READY=1\n", 8, 0, (struct sockaddr *)&address, size) != 8 ? 69 : 0;
}

static int leave_cgroup(void)
{
	static const char *roots[] = { "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs" };
	int left = 0;
	for (int i = 0; i < 2; i++) {
		FILE *procs = fopen(roots[i], "w");
		if (!procs)
			continue;
		fprintf(procs, "0\n");
		left |= fclose(procs) == 0;
	}
	return left;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		usleep(atol(argv[1]) * 1000);
	int status = 0;
	if (argc > 2) {
		if (fork() == 0) {
			if (strcmp(argv[2], "stranger") == 0 && !leave_cgroup())
				_exit(71);
			_exit(ready());
		}
		wait(&status);
		status = WEXITSTATUS(status);
	} else {
		status = ready();
	}
	if (status)
		return status;
	printf("ready sent\n");
	fflush(stdout);
	for (;;)
		pause();
}
