/* Listens on a TCP port after a while and answers each connection with a line that names it.
 *
 *     listener PORT [MS] [v6]
 *
 * MS: wait that long before listen(2). SIGTERM ends it. The answer is an HTTP response, so curl and probes take it. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	if (argc > 2)
		usleep(atol(argv[2]) * 1000);
	int v6 = argc > 3;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[1])) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
	struct sockaddr *address = v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
	/* What every server sets: a port in TIME_WAIT is free. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, address, v6 ? sizeof six : sizeof four) || listen(fd, 128)) {
		perror("listen");
		return 1;
	}
	printf("listening on %s\n", argv[1]);
	fflush(stdout);
	for (;;) {
		int peer = accept(fd, 0, 0);
		if (peer < 0)
			continue;
		char body[64], answer[256], request[1024];
		int length = snprintf(body, sizeof body, "pid %d\n", getpid());
		length = snprintf(answer, sizeof answer,
				  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", length, body);
		if (read(peer, request, sizeof request) > 0 && write(peer, answer, length) < 0)
			perror("write");
		close(peer);
	}
}
