/* The kernel's own sharing of a port, for a program that does not ask for it: preloaded, it sets SO_REUSEPORT on what is
 * bound. The bench compares with it what stead does in the kernel.
 *
 *     LD_PRELOAD=reuseport.so PROGRAM [ARG]... */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
	typedef int bind_function(int, const struct sockaddr *, socklen_t);
	bind_function *next = (bind_function *)dlsym(RTLD_NEXT, "bind");
	int on = 1;
	/* A socket of a kind that has no ports says no, and does not need it. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	return next(fd, address, size);
}
