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

/* sd_notify_barrier(3): sends the write end of a pipe along and waits until the receiver has closed it, so that this
 * process is still there when its READY=1 is looked at. */
static int barrier(int fd, struct sockaddr_un *address, socklen_t size)
{
	int ends[2];
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec text = { "BARRIER=1", 9 };
	struct msghdr message = { address, size, &text, 1, room, sizeof room, 0 };
	if (pipe(ends))
		return 71;
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &ends[1], sizeof(int));
	if (sendmsg(fd, &message, 0) < 0)
		return 69;
	close(ends[1]);
	return read(ends[0], room, 1) ? 70 : 0;
}

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
	if (fd < 0 || sendto(fd, "READY=1\n", 8, 0, (struct sockaddr *)&address, size) != 8)
		return 69;
	return barrier(fd, &address, size);
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
