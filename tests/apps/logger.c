/* Prints numbered lines of exactly LENGTH bytes, newline included, as fast as it is allowed to.
 *
 *     logger LINES [LENGTH] [wait] [rate=N] [tag=X] [file=FILE]
 *
 * Lines go out in writes of 4 KiB that cut lines anywhere, as stdio's do. A line is `X 000000001234 ` and a filling that
 * follows from the number, so that a lost, doubled or torn line shows. `rate=N`: so many lines a second, a hundredth of them at
 * once. `wait`: stay after the last line; otherwise exit
 * at once, with the last bytes still in the pipe. `file=FILE`: append CLOCK_MONOTONIC in ns and the pid, once before the
 * first line and once after the last. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[4096];
static size_t filled;

static void note(int file)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	char line[64];
	int length = snprintf(line, sizeof line, "%lld %d\n", now.tv_sec * 1000000000LL + now.tv_nsec, getpid());
	if (file >= 0 && write(file, line, length) != length)
		_exit(74);
}

static void flush(void)
{
	for (size_t done = 0; done < filled;) {
		ssize_t written = write(1, buffer + done, filled - done);
		if (written < 0)
			_exit(74);
		done += written;
	}
	filled = 0;
}

static void put(const char *bytes, size_t length)
{
	while (length) {
		size_t part = sizeof buffer - filled < length ? sizeof buffer - filled : length;
		memcpy(buffer + filled, bytes, part);
		filled += part, bytes += part, length -= part;
		if (filled == sizeof buffer)
			flush();
	}
}

/* Adds one to a decimal number, given its last digit. A printf would take longer than capturing the line does. */
static void count(char *digit)
{
	while (*digit == '9')
		*digit-- = '0';
	++*digit;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	long lines = atol(argv[1]);
	size_t length = argc > 2 && atol(argv[2]) > 0 ? atol(argv[2]) : 100;
	const char *tag = "L";
	int stay = 0, file = -1;
	long rate = 0;
	for (int i = 2; i < argc; i++) {
		if (strncmp(argv[i], "tag=", 4) == 0)
			tag = argv[i] + 4;
		if (strncmp(argv[i], "file=", 5) == 0)
			file = open(argv[i] + 5, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
		if (strncmp(argv[i], "rate=", 5) == 0)
			rate = atol(argv[i] + 5);
		stay |= strcmp(argv[i], "wait") == 0;
	}
	char *head = malloc(strlen(tag) + 32), *line = malloc(length);
	if (!head || !line)
		return 71;
	size_t size = sprintf(head, "%s %012d ", tag, 0), shown = size < length ? size : length - 1;
	note(file);
	for (long number = 0; number < lines; number++) {
		memcpy(line, head, shown);
		memset(line + shown, 'a' + number % 26, length - 1 - shown);
		line[length - 1] = '\n';
		put(line, length);
		count(head + size - 2);
		if (rate && number % (rate / 100) == 0) {
			flush();
			nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
		}
	}
	flush();
	note(file);
	while (stay)
		pause();
	return 0;
}
