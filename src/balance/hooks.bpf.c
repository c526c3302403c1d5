// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What the kernel does for stead whenever an app binds or listens. Attached to the cgroup that holds all apps.
//
// Owns: that the instances of one app share a TCP port, that two apps never do, and the news of every listen(2).
// Never: routes a connection (route.bpf.c does), or touches a socket that is no app's.
//
// All of it is right with the daemon dead: whose a port is stands in a map that only these programs write.

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SOL_SOCKET 1
#define SO_REUSEPORT 15
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define DEEPEST 16 // levels of cgroups above the one that holds all apps

struct port {
	__u64 netns;
	__u64 number;
};

struct owner {
	__u64 app;     // cgroup id of `app-<name>`
	__u64 sockets; // bound to the port now; at 0 it is anybody's
};

struct socket {
	struct port port;
	__u64 app; // 0: the port may be another app's too, at another address
	__u64 run; // cgroup id of `<slot>@<run>`
	__u64 listens;
};

// The same in hooks.rs.
struct news {
	__u64 kind;
	__u64 app;
	__u64 run;
	__u64 port;
	__u64 cookie; // LISTENS, CLOSES: of the socket
	__u64 holder; // TAKEN: the app that has the port
};

enum { LISTENS = 1, TAKEN = 2, CLOSES = 3 };

// The id of the cgroup that holds all apps: `<base>/app-<name>/<slot>@<run>/`. Written by the daemon.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} base SEC(".maps");

// An entry whose count is 0 stays, so that no count can go up while another goes down to a removal.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct port);
	__type(value, struct owner);
} owners SEC(".maps");

// By socket cookie, from bind(2) to close(2).
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, struct socket);
} sockets SEC(".maps");

// Apps with `share_ports = false`. Written by the daemon.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} unshared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} news SEC(".maps");

struct who {
	__u64 app;
	__u64 run;
};

// Whose process this is. 0: not an app's.
static __always_inline int who(struct who *who)
{
	__u32 zero = 0;
	__u64 *home = bpf_map_lookup_elem(&base, &zero);

	for (int level = 0; home && level < DEEPEST; level++) {
		if (bpf_get_current_ancestor_cgroup_id(level) != *home)
			continue;
		who->app = bpf_get_current_ancestor_cgroup_id(level + 1);
		who->run = bpf_get_current_ancestor_cgroup_id(level + 2);
		return who->app && who->run;
	}
	return 0;
}

static __always_inline void tell(struct news *told)
{
	bpf_ringbuf_output(&news, told, sizeof *told, 0);
}

// Before the kernel looks for conflicts: sockets of one app get SO_REUSEPORT and so have none among themselves. Where
// the port is another app's the option is taken off, whoever set it, and the kernel answers EADDRINUSE.
static __always_inline int before_bind(struct bpf_sock_addr *at)
{
	struct who me;
	int share = 1;

	if (at->type != SOCK_STREAM || at->protocol != IPPROTO_TCP || !who(&me))
		return 1;
	__u64 cookie = bpf_get_socket_cookie(at);
	struct socket asks = {
		.port = { .netns = bpf_get_netns_cookie(at), .number = bpf_ntohs(at->user_port) },
		.run = me.run,
	};
	if (!asks.port.number) {
		// Left alone: the kernel chooses a port that is free, at this address if not at all.
		bpf_map_update_elem(&sockets, &cookie, &asks, BPF_ANY);
		return 1;
	}
	struct owner *owner = bpf_map_lookup_elem(&owners, &asks.port);
	if (owner && owner->sockets && owner->app != me.app) {
		struct news told = {
			.kind = TAKEN, .app = me.app, .run = me.run, .port = asks.port.number, .holder = owner->app
		};
		tell(&told);
		bpf_map_update_elem(&sockets, &cookie, &asks, BPF_ANY);
		share = 0;
	} else {
		bpf_map_delete_elem(&sockets, &cookie); // of an earlier try of this socket
		if (bpf_map_lookup_elem(&unshared, &me.app))
			return 1;
	}
	bpf_setsockopt(at, SOL_SOCKET, SO_REUSEPORT, &share, sizeof share);
	return 1;
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *at)
{
	return before_bind(at);
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *at)
{
	return before_bind(at);
}

// The port is the socket's. 0 takes it away again: another app was given the port between the two hooks.
static __always_inline int after_bind(struct bpf_sock *sock)
{
	struct who me;

	if (sock->type != SOCK_STREAM || sock->protocol != IPPROTO_TCP || !who(&me))
		return 1;
	__u64 cookie = bpf_get_socket_cookie(sock);
	struct socket bound = {
		.port = { .netns = bpf_get_netns_cookie(sock), .number = sock->src_port },
		.app = me.app,
		.run = me.run,
	};
	struct owner fresh = { .app = me.app };
	struct owner *owner = bpf_map_lookup_elem(&owners, &bound.port);
	if (!owner) {
		bpf_map_update_elem(&owners, &bound.port, &fresh, BPF_NOEXIST);
		owner = bpf_map_lookup_elem(&owners, &bound.port);
	}
	if (owner) {
		if (!owner->sockets)
			owner->app = me.app;
		if (owner->app == me.app) {
			__sync_fetch_and_add(&owner->sockets, 1);
		} else {
			// Not shared, so it is another address of the port, which is nobody's business.
			struct socket *asked = bpf_map_lookup_elem(&sockets, &cookie);
			if (!asked || asked->app)
				return 0;
			bound.app = 0;
		}
	}
	bpf_map_update_elem(&sockets, &cookie, &bound, BPF_ANY);
	return 1;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *sock)
{
	return after_bind(sock);
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *sock)
{
	return after_bind(sock);
}

SEC("cgroup/sock_release")
int release(struct bpf_sock *sock)
{
	__u64 cookie = bpf_get_socket_cookie(sock);
	struct socket *bound = bpf_map_lookup_elem(&sockets, &cookie);
	if (!bound)
		return 1;
	struct owner *owner = bpf_map_lookup_elem(&owners, &bound->port);
	if (owner && bound->app)
		__sync_fetch_and_add(&owner->sockets, -1);
	if (bound->listens) {
		struct news told = { .kind = CLOSES, .run = bound->run, .port = bound->port.number, .cookie = cookie };
		tell(&told);
	}
	bpf_map_delete_elem(&sockets, &cookie);
	return 1;
}

// In listen(2), once connections are taken.
SEC("sockops")
int listens(struct bpf_sock_ops *ops)
{
	if (ops->op != BPF_SOCK_OPS_TCP_LISTEN_CB)
		return 1;
	struct news told = { .kind = LISTENS, .port = ops->local_port, .cookie = bpf_get_socket_cookie(ops) };
	// A socket that listens without a bind(2) is not there; the daemon finds out whose it is.
	struct socket *bound = bpf_map_lookup_elem(&sockets, &told.cookie);
	if (bound) {
		told.run = bound->run;
		bound->listens = 1;
	}
	tell(&told);
	return 1;
}

// The helpers above are for programs that are compatible with the GPL.
char _license[] SEC("license") = "Dual MIT/GPL";
