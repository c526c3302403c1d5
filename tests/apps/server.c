/* An HTTP server of the kind that stead has to share a port for, in as many kinds as flags make of it.
 *
 *     server port=N [port=N]... [FLAG]...
 *
 * Answers who it is: the header X-Instance and the body carry $STEAD_INSTANCE, or its pid where that is not set. One
 * thread, one process, epoll; keeps connections alive unless the client does not want that. It never asks for
 * SO_REUSEPORT unless told so: whoever shares its port has done that from outside.
 *
 * at=any4|any6|dual|lo4|lo6  where it listens: 0.0.0.0, ::, :: for both families, 127.0.0.1, ::1
 * likego                     opens IPPROTO_MPTCP, as Go does
 * reuseport                  asks for SO_REUSEPORT by itself, as nginx can
 * boot=MS                    waits before it binds
 * deaf                       never listens, only lives
 * signals=finish|none|ignore SIGINT and SIGTERM: stop listening, finish what was begun, exit; have no handler; change nothing
 * slow=MS                    each answer takes that long
 * sick=ID|all                answers 500 where it is this instance
 * stamp=FILE                 appends "MONOTONIC REALTIME PID", in nanoseconds, once it listens on all ports
 * stats=DIR                  keeps two 64-bit counts in DIR/PID: connections accepted, and connections it is done with.
 *                            Written through a mapping, so that they are right after SIGKILL, too.
 *
 * SIGUSR1 stops it from accepting (its queue then fills), SIGUSR2 lets it go on. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define PORTS 8
#define CONNECTIONS 1024

struct connection {
	int fd; /* -1: free */
	int length; /* bytes of a request that has not ended */
	int64_t answer_at; /* 0: no request waits for its answer */
	int close_after;
	char request[2048];
};

static struct connection connections[CONNECTIONS];
static int listeners[PORTS], listener_count, loop, open_connections, finishing, holding;
static const char *me, *at = "any4";
static int mptcp, reuseport, slow_ms, sick;
static uint64_t nowhere[2], *counts = nowhere;

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* What epoll tells about is named by a number: a connection's place, after that a listener's, then the signals. */
static void watch(int fd, int number)
{
	struct epoll_event event = { EPOLLIN, { .u32 = number } };
	if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static int listen_on(int port)
{
	int six = strcmp(at, "any4") && strcmp(at, "lo4");
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, mptcp ? IPPROTO_MPTCP : 0);
	if (fd < 0)
		die("socket");
	int on = 1, only = strcmp(at, "dual") != 0;
	/* What every server sets: a port in TIME_WAIT is free. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	union {
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} address = { 0 };
	if (six) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
		address.six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
		if (!strcmp(at, "lo6"))
			address.six.sin6_addr = in6addr_loopback;
	} else {
		address.four = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		if (!strcmp(at, "lo4"))
			address.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	if (bind(fd, (struct sockaddr *)&address, six ? sizeof address.six : sizeof address.four))
		die("bind");
	if (listen(fd, 511))
		die("listen");
	return fd;
}

static void drop(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
	open_connections--;
	__atomic_add_fetch(&counts[1], 1, __ATOMIC_SEQ_CST);
}

static void take(int listener)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->fd >= 0)
			continue;
		int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		__atomic_add_fetch(&counts[0], 1, __ATOMIC_SEQ_CST);
		open_connections++;
		*c = (struct connection){ .fd = fd };
		watch(fd, i);
		/* One at a time, as most servers do: a queue that is emptied at once could never be lost. */
		return;
	}
}

static void answer(struct connection *c)
{
	char body[128], text[512];
	int length = snprintf(body, sizeof body, "instance %s pid %d\n", me, getpid());
	length = snprintf(text, sizeof text,
			  "HTTP/1.1 %s\r\nX-Instance: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s",
			  sick ? "500 Sick" : "200 OK", me, length, c->close_after ? "Connection: close\r\n" : "", body);
	c->answer_at = 0;
	/* So short a text always fits into the buffer of a socket whose peer reads. */
	if (send(c->fd, text, length, MSG_NOSIGNAL) != length || c->close_after)
		drop(c);
}

/* A whole request stands in front of the buffer: it is taken out, and answered now or later. */
static void begin(struct connection *c, int length)
{
	c->close_after = finishing || strcasestr(c->request, "\r\nconnection: close") || strstr(c->request, " HTTP/1.0\r\n");
	c->length -= length;
	memmove(c->request, c->request + length, c->length + 1);
	if (slow_ms)
		c->answer_at = now_ns(CLOCK_MONOTONIC) + slow_ms * 1000000LL;
	else
		answer(c);
}

static void hear(struct connection *c)
{
	ssize_t got = recv(c->fd, c->request + c->length, sizeof c->request - 1 - c->length, 0);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		drop(c);
		return;
	}
	c->length += got;
	c->request[c->length] = 0;
	char *end = strstr(c->request, "\r\n\r\n");
	if (end && !c->answer_at)
		begin(c, end + 4 - c->request);
}

/* Answers what is due. Returns how many milliseconds nothing will be. */
static int answer_due(void)
{
	int64_t now = now_ns(CLOCK_MONOTONIC), next = INT64_MAX;
	if (!slow_ms)
		return -1;
	for (int i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->fd < 0 || !c->answer_at)
			continue;
		if (c->answer_at <= now) {
			c->close_after |= finishing;
			answer(c);
		} else if (c->answer_at < next) {
			next = c->answer_at;
		}
	}
	return next == INT64_MAX ? -1 : (int)((next - now) / 1000000) + 1;
}

static void accept_or_not(int yes)
{
	holding = !yes;
	for (int i = 0; i < listener_count; i++) {
		struct epoll_event event = { yes ? EPOLLIN : 0, { .u32 = CONNECTIONS + i } };
		epoll_ctl(loop, EPOLL_CTL_MOD, listeners[i], &event);
	}
	printf(yes ? "accepting\n" : "holding\n");
}

/* As most servers end: the port at once, idle connections too, the others after their answer. */
static void finish(void)
{
	finishing = 1;
	for (int i = 0; i < listener_count; i++)
		close(listeners[i]);
	listener_count = 0;
	for (int i = 0; i < CONNECTIONS; i++)
		if (connections[i].fd >= 0 && !connections[i].answer_at && !connections[i].length)
			drop(&connections[i]);
	printf("finishing %d\n", open_connections);
}

static void keep_counts(const char *directory)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%d", directory, getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, sizeof nowhere))
		die(path);
	counts = mmap(0, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED)
		die("mmap");
	close(fd);
}

static void write_stamp(const char *path)
{
	char line[128];
	int length = snprintf(line, sizeof line, "%lld %lld %d\n", (long long)now_ns(CLOCK_MONOTONIC),
			      (long long)now_ns(CLOCK_REALTIME), getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, line, length) != length)
		die(path);
	close(fd);
}

static const char *value(const char *word, const char *key)
{
	size_t length = strlen(key);
	return strncmp(word, key, length) == 0 && word[length] == '=' ? word + length + 1 : 0;
}

int main(int argc, char **argv)
{
	static char own_pid[32];
	const char *signals = "finish", *stamp = 0, *v;
	int ports[PORTS], port_count = 0, deaf = 0;
	snprintf(own_pid, sizeof own_pid, "%d", getpid());
	me = getenv("STEAD_INSTANCE") ? getenv("STEAD_INSTANCE") : own_pid;
	for (int i = 1; i < argc; i++) {
		if ((v = value(argv[i], "port")) && port_count < PORTS)
			ports[port_count++] = atoi(v);
		else if ((v = value(argv[i], "at")))
			at = v;
		else if ((v = value(argv[i], "boot")))
			usleep(atoi(v) * 1000);
		else if ((v = value(argv[i], "signals")))
			signals = v;
		else if ((v = value(argv[i], "slow")))
			slow_ms = atoi(v);
		else if ((v = value(argv[i], "sick")))
			sick = !strcmp(v, me) || !strcmp(v, "all");
		else if ((v = value(argv[i], "stamp")))
			stamp = v;
		else if ((v = value(argv[i], "stats")))
			keep_counts(v);
		else if (!strcmp(argv[i], "likego"))
			mptcp = 1;
		else if (!strcmp(argv[i], "reuseport"))
			reuseport = 1;
		else if (!strcmp(argv[i], "deaf"))
			deaf = 1;
		else {
			fprintf(stderr, "server: unknown flag %s\n", argv[i]);
			return 64;
		}
	}
	setvbuf(stdout, 0, _IOLBF, 0);
	loop = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < CONNECTIONS; i++)
		connections[i].fd = -1;

	sigset_t asked;
	sigemptyset(&asked);
	sigaddset(&asked, SIGUSR1);
	sigaddset(&asked, SIGUSR2);
	if (!strcmp(signals, "finish")) {
		sigaddset(&asked, SIGINT);
		sigaddset(&asked, SIGTERM);
	} else if (!strcmp(signals, "ignore")) {
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
	}
	sigprocmask(SIG_BLOCK, &asked, 0);
	int told = signalfd(-1, &asked, SFD_CLOEXEC | SFD_NONBLOCK);
	watch(told, CONNECTIONS + PORTS);

	for (int i = 0; i < port_count && !deaf; i++) {
		listeners[i] = listen_on(ports[i]);
		listener_count = i + 1;
		watch(listeners[i], CONNECTIONS + i);
	}
	if (stamp)
		write_stamp(stamp);
	printf("%s\n", deaf ? "not listening" : "listening");

	while (!finishing || open_connections) {
		struct epoll_event events[64];
		int wait = answer_due();
		/* That answer may have been the last: nothing more would wake it. */
		int count = finishing && !open_connections ? 0 : epoll_wait(loop, events, 64, wait);
		for (int i = 0; i < count; i++) {
			unsigned number = events[i].data.u32;
			struct signalfd_siginfo info;
			if (number < CONNECTIONS) {
				if (connections[number].fd >= 0)
					hear(&connections[number]);
			} else if (number < CONNECTIONS + PORTS) {
				if (!finishing && !holding)
					take(listeners[number - CONNECTIONS]);
			} else if (read(told, &info, sizeof info) == sizeof info) {
				if (info.ssi_signo == SIGUSR1 || info.ssi_signo == SIGUSR2)
					accept_or_not(info.ssi_signo == SIGUSR2);
				else if (!finishing)
					finish();
			}
		}
	}
	return 0;
}
