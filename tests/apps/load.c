/* Asks an HTTP server as many clients at once would, and counts what became of every request.
 *
 *     load fresh|keep|pause=MS port=N [FLAG]...
 *
 * fresh: a connection for each request. keep: each client keeps its connection and asks again at once. pause=MS: keeps it
 * and waits that long between two requests.
 *
 * host=ADDRESS  IPv4 or IPv6, 127.0.0.1 unless given
 * path=PATH     / unless given
 * clients=N     8 unless given
 * rate=N        requests a second of all clients together, evenly; as fast as they are answered unless given
 * for=SECONDS   ends by itself after that time
 * count=N       ends by itself after so many requests
 *
 * Prints "answering" once as many answers came as there are clients, and one JSON object (load.h) in the end: by itself, at
 * SIGTERM, or when stdin is closed; not before each open request is answered or lost. Gaps are the times between any
 * two answers that follow each other, whoever got them; both histograms are in microseconds.
 *
 * A client sends a GET once more when its connection had served one before and ended without a byte of an answer, as
 * RFC 9110, 9.2.2 allows: that is counted apart, and its second try is a request on a new connection. Each connection over
 * IPv4 to loopback comes from another address of 127.0.0.0/8, so that ports do not run out. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define CLIENTS 1024
#define TIMEOUT (2000 * MS)
/* After a request that was lost: a client that is refused must not turn into a busy loop. */
#define AFTER_LOSS (10 * MS)

struct client {
	int fd; /* -1: no connection */
	enum { WAITS, SENDS, READS, ENDED } state;
	int served; /* requests that were answered on this connection */
	int64_t next_at; /* WAITS: the next request. Otherwise: given up by then */
	int64_t begun;
	/* The head of an answer, then how much of its body is to come; -1: up to the end of the connection. */
	int head, in_body;
	long left;
	int closes, status;
	char text[4096];
};

static struct client clients[CLIENTS];
static int client_count = 8, keeps, loop, ending, live;
static int64_t pause_ns, every_ns, limit = INT64_MAX, asked, last_answer, next_look;
static struct histogram gaps, latencies;
static char request[1024];
static int request_length;
static union {
	struct sockaddr_in four;
	struct sockaddr_in6 six;
} server;

static void due(struct client *c, int64_t at)
{
	c->next_at = at;
	if (at < next_look)
		next_look = at;
}

static void disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->served = 0;
}

/* A request has ended, one way or another: when comes this client's next? */
static void rest(struct client *c, int64_t now, int lost)
{
	c->state = WAITS;
	int64_t next = lost ? now + AFTER_LOSS : now + pause_ns;
	if (every_ns) {
		/* Kept to the plan, but a plan that was missed is not caught up with in a burst. */
		next = c->begun + every_ns;
		if (next < now - every_ns)
			next = now;
	}
	if (ending || asked >= limit)
		next = now;
	due(c, next);
}

static void lose(struct client *c, enum count why)
{
	counts[why]++;
	disconnect(c);
	rest(c, now_ns(), 1);
}

static void lose_by_errno(struct client *c)
{
	if (errno == ECONNREFUSED)
		lose(c, REFUSED);
	else if (errno == ECONNRESET || errno == EPIPE)
		lose(c, RESET);
	else if (errno == ETIMEDOUT)
		lose(c, TIMED_OUT);
	else
		lose(c, errno == EADDRNOTAVAIL || errno == EADDRINUSE ? NO_ADDRESS : OTHER);
}

static int connect_to_server(struct client *c)
{
	static uint32_t source;
	int four = server.four.sin_family == AF_INET, on = 1;
	c->fd = socket(server.four.sin_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -1;
	counts[CONNECTIONS]++;
	if (four && ntohl(server.four.sin_addr.s_addr) >> 24 == 127) {
		/* 127.1.0.1 to 127.1.255.254, in turns. The port is chosen by connect, for this destination only. */
		uint32_t address = 0x7f010001 + source++ % 0xfffe;
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
		if (bind(c->fd, (struct sockaddr *)&from, sizeof from))
			return -1;
	}
	struct epoll_event event = { EPOLLIN | EPOLLOUT | EPOLLET, { .u32 = c - clients } };
	if (epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event))
		return -1;
	if (connect(c->fd, (struct sockaddr *)&server, four ? sizeof server.four : sizeof server.six) && errno != EINPROGRESS)
		return -1;
	return 0;
}

static void unanswered(struct client *c, int reset);

/* Has the server ended this connection, with no request open on it? */
static int ended_idle(struct client *c)
{
	char byte;
	ssize_t got = recv(c->fd, &byte, 1, MSG_PEEK);
	if (got < 0 && errno == EAGAIN)
		return 0;
	counts[CLOSED_IDLE]++;
	disconnect(c);
	return 1;
}

static void send_request(struct client *c)
{
	ssize_t sent = send(c->fd, request, request_length, MSG_NOSIGNAL);
	if (sent == request_length)
		c->state = READS;
	else if (sent >= 0)
		lose(c, OTHER); /* So short a text fits, or nothing of it does. */
	else if (errno == EPIPE || errno == ECONNRESET)
		unanswered(c, 1);
	else if (errno != EAGAIN && errno != ENOTCONN)
		lose_by_errno(c);
}

static void ask(struct client *c, int64_t now)
{
	c->state = SENDS;
	c->begun = every_ns ? c->next_at : now;
	c->head = c->in_body = 0;
	due(c, now + TIMEOUT);
	/* A connection that is known to have ended is not used, by any client. */
	if ((c->fd < 0 || ended_idle(c)) && connect_to_server(c)) {
		lose_by_errno(c);
		return;
	}
	send_request(c);
}

/* The first byte of an answer never came. On a reused connection nobody can know that it was not about to end. */
static void unanswered(struct client *c, int reset)
{
	if (!c->served) {
		lose(c, reset ? RESET : CLOSED);
		return;
	}
	counts[RETRIED]++;
	disconnect(c);
	c->next_at = c->begun;
	ask(c, now_ns());
}

static void complete(struct client *c)
{
	int64_t now = now_ns();
	if (c->status != 200) {
		lose(c, BAD_STATUS);
		return;
	}
	counts[ANSWERED]++;
	note(&latencies, now - c->begun);
	if (last_answer)
		note(&gaps, now - last_answer);
	last_answer = now;
	if (counts[ANSWERED] == (uint64_t)client_count) {
		printf("answering\n");
		fflush(stdout);
	}
	c->served++;
	if (!keeps || c->closes)
		disconnect(c);
	rest(c, now, 0);
}

/* The head of an answer is all there. */
static void read_head(struct client *c, char *end)
{
	char *field;
	*end = 0;
	c->status = c->text[0] == 'H' && (field = strchr(c->text, ' ')) ? atoi(field) : 0;
	c->closes = strcasestr(c->text, "\r\nconnection: close") || strncmp(c->text, "HTTP/1.1", 8);
	c->left = (field = strcasestr(c->text, "\r\ncontent-length:")) ? atol(field + 17) : -1;
	if ((field = strcasestr(c->text, "\r\nx-instance: "))) {
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)strcspn(field + 14, "\r\"\\"), field + 14);
		answered_by(name);
	}
	int more = c->head - (int)(end + 4 - c->text);
	if (c->left > 0)
		c->left = more < c->left ? c->left - more : 0;
	c->in_body = 1;
}

static void hear(struct client *c)
{
	while (c->state == READS) {
		char rest_of_body[65536];
		ssize_t got = c->in_body ? recv(c->fd, rest_of_body, sizeof rest_of_body, 0)
					 : recv(c->fd, c->text + c->head, sizeof c->text - 1 - c->head, 0);
		if (got < 0 && errno == EAGAIN)
			return;
		int nothing_yet = !c->head;
		if (got < 0 && (!nothing_yet || errno != ECONNRESET))
			lose_by_errno(c);
		else if (got <= 0 && nothing_yet)
			unanswered(c, got < 0);
		else if (got == 0 && c->in_body && c->left < 0)
			complete(c);
		else if (got == 0)
			lose(c, SHORT);
		else if (c->in_body) {
			c->left -= c->left < 0 ? 0 : got < c->left ? got : c->left;
		} else {
			c->head += got;
			c->text[c->head] = 0;
			char *end = strstr(c->text, "\r\n\r\n");
			if (end)
				read_head(c, end);
		}
		if (c->state == READS && c->in_body && c->left == 0)
			complete(c);
	}
}

static void happened(struct client *c, uint32_t events)
{
	int error = 0;
	socklen_t size = sizeof error;
	if (c->fd < 0 || (c->state == WAITS && ended_idle(c)))
		return;
	if (c->state == SENDS && events & (EPOLLERR | EPOLLHUP)) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
		errno = error ? error : ECONNRESET;
		lose_by_errno(c);
	} else if (c->state == SENDS && events & EPOLLOUT) {
		send_request(c);
	}
	if (c->fd >= 0)
		hear(c);
}

/* Begins and gives up what is due. Returns how many nanoseconds nothing will be. */
static int64_t look(void)
{
	int64_t now = now_ns();
	if (now >= next_look) {
		next_look = now + 1000 * MS;
		for (int i = 0; i < client_count; i++) {
			struct client *c = &clients[i];
			if (c->state == WAITS && (ending || asked >= limit)) {
				disconnect(c);
				c->state = ENDED;
				live--;
			} else if (c->state == WAITS && c->next_at <= now) {
				asked++;
				ask(c, now);
			} else if ((c->state == SENDS || c->state == READS) && c->next_at <= now) {
				lose(c, TIMED_OUT);
			} else if (c->state != ENDED && c->next_at < next_look) {
				next_look = c->next_at;
			}
		}
		now = now_ns();
	}
	return next_look <= now ? 0 : next_look - now;
}

static int flag(const char *word, const char *key, const char **value)
{
	size_t length = strlen(key);
	if (strncmp(word, key, length) || word[length] != '=')
		return 0;
	*value = word + length + 1;
	return 1;
}

int main(int argc, char **argv)
{
	const char *host = "127.0.0.1", *path = "/", *v;
	int port = 0;
	double seconds = 0, rate = 0;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "fresh"))
			keeps = 0;
		else if (!strcmp(argv[i], "keep"))
			keeps = 1;
		else if (flag(argv[i], "pause", &v))
			keeps = 1, pause_ns = atol(v) * MS;
		else if (flag(argv[i], "host", &v))
			host = v;
		else if (flag(argv[i], "path", &v))
			path = v;
		else if (flag(argv[i], "port", &v))
			port = atoi(v);
		else if (flag(argv[i], "clients", &v) && atoi(v) > 0 && atoi(v) <= CLIENTS)
			client_count = atoi(v);
		else if (flag(argv[i], "rate", &v))
			rate = atof(v);
		else if (flag(argv[i], "for", &v))
			seconds = atof(v);
		else if (flag(argv[i], "count", &v))
			limit = atol(v);
		else {
			fprintf(stderr, "load: what is %s?\n", argv[i]);
			return 64;
		}
	}
	server.four.sin_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	server.four.sin_port = htons(port);
	if (inet_pton(server.four.sin_family, host,
		      strchr(host, ':') ? (void *)&server.six.sin6_addr : (void *)&server.four.sin_addr) != 1) {
		fprintf(stderr, "load: %s is no address\n", host);
		return 64;
	}
	request_length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost:%d\r\n%s\r\n", path, port,
				  keeps ? "" : "Connection: close\r\n");
	loop = epoll_create1(EPOLL_CLOEXEC);
	sigset_t asked_to_end;
	sigemptyset(&asked_to_end);
	sigaddset(&asked_to_end, SIGTERM);
	sigaddset(&asked_to_end, SIGINT);
	sigprocmask(SIG_BLOCK, &asked_to_end, 0);
	struct epoll_event event = { EPOLLIN | EPOLLONESHOT, { .u32 = CLIENTS } };
	epoll_ctl(loop, EPOLL_CTL_ADD, signalfd(-1, &asked_to_end, SFD_CLOEXEC), &event);
	/* Whoever gives an end of its own may well start it with no stdin. A file cannot be waited for, and never ends. */
	if (!seconds && limit == INT64_MAX)
		epoll_ctl(loop, EPOLL_CTL_ADD, 0, &event);

	int64_t begun = now_ns(), end = seconds ? begun + (int64_t)(seconds * 1000 * MS) : INT64_MAX;
	if (rate > 0)
		every_ns = (int64_t)(1000 * MS * client_count / rate);
	/* Out of step from the beginning, which is not to take as long as a long pause. */
	int64_t first_ns = every_ns ? every_ns : pause_ns < TIMEOUT ? pause_ns : TIMEOUT;
	for (int i = 0; i < client_count; i++)
		/* The clients take turns: one after the other within their common rhythm. */
		clients[i] = (struct client){ .fd = -1, .next_at = begun + first_ns * i / client_count };
	live = client_count;
	while (live) {
		struct epoll_event events[256];
		int64_t wait = look();
		struct timespec span = { wait / (1000 * MS), wait % (1000 * MS) };
		int count = live ? epoll_pwait2(loop, events, 256, &span, 0) : 0;
		for (int i = 0; i < count; i++) {
			if (events[i].data.u32 < CLIENTS)
				happened(&clients[events[i].data.u32], events[i].events);
			else
				end = 0;
		}
		if (!ending && now_ns() >= end) {
			ending = 1;
			next_look = 0;
		}
	}
	printf("{\"seconds\":%.3f,\"requests\":%lld,", (now_ns() - begun) / 1e9, (long long)asked);
	print_histogram("gap_us", &gaps);
	print_histogram("latency_us", &latencies);
	print_counts();
	printf("}\n");
	return 0;
}
