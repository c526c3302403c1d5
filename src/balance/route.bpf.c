// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Which of the sockets that share an address takes a new connection. One program, with maps of its own, for each
// (network namespace, address, port): it needs not ask which group it was called for.
//
// Owns: that only routed sockets are chosen, evenly, and that a closing socket's queue goes to another.
// Never: decides who is routed. The daemon does; without it, what it decided last goes on.

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MOST 512 // sockets of one address; the same in group.rs
#define TRIES 16
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD

// A socket leaves by itself when it is closed, before its queue is given away.
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, MOST);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// Whose the socket at the same index is. For a daemon that comes after another; no program reads it.
struct member {
	__u64 run; // 0: nobody's
	__u64 cookie;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOST);
	__type(key, __u32);
	__type(value, struct member);
} members SEC(".maps");

struct choice {
	__u32 by_hash; // else in turn
	__u32 count;
	__u32 at[MOST]; // indexes of `sockets`
};

// Two, so that one is whole while the daemon writes the other.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct choice);
} choices SEC(".maps");

// Which of the two holds.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} current SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} turn SEC(".maps");

// Probes of the daemon, by source port: they reach the socket they are meant for, routed or not.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} aims SEC(".maps");

// Only this host can send from a loopback address.
static __always_inline int from_loopback(struct sk_reuseport_md *md)
{
	__u32 from[4];

	if (md->eth_protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes_relative(md, 12, from, 4, BPF_HDR_START_NET))
			return 0;
		return (from[0] & bpf_htonl(0xFF000000)) == bpf_htonl(0x7F000000);
	}
	if (md->eth_protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes_relative(md, 8, from, 16, BPF_HDR_START_NET))
			return 0;
		return !from[0] && !from[1] && !from[2] && from[3] == bpf_htonl(1);
	}
	return 0;
}

static __always_inline __u32 *aimed_at(struct sk_reuseport_md *md)
{
	__u16 *source = md->data;

	if ((void *)(source + 1) > md->data_end)
		return 0;
	__u32 port = bpf_ntohs(*source);
	__u32 *at = bpf_map_lookup_elem(&aims, &port);
	return at && from_loopback(md) ? at : 0;
}

SEC("sk_reuseport/migrate")
int route(struct sk_reuseport_md *md)
{
	__u32 zero = 0;

	if (!md->migrating_sk) {
		__u32 *at = aimed_at(md);
		if (at && !bpf_sk_select_reuseport(md, &sockets, at, 0))
			return SK_PASS;
	}
	__u32 *current_choice = bpf_map_lookup_elem(&current, &zero);
	__u32 *next = bpf_map_lookup_elem(&turn, &zero);
	if (!current_choice || !next)
		return SK_PASS;
	struct choice *choice = bpf_map_lookup_elem(&choices, current_choice);
	if (!choice || !choice->count)
		return SK_PASS; // Nobody is routed: the kernel's own choice.
	__u32 first = choice->by_hash ? md->hash : __sync_fetch_and_add(next, 1);
	for (__u32 i = 0; i < TRIES; i++) {
		__u32 at = (first + i) % choice->count;
		if (at >= MOST)
			break;
		__u32 index = choice->at[at];
		// Fails if the socket has been closed.
		if (!bpf_sk_select_reuseport(md, &sockets, &index, 0))
			return SK_PASS;
	}
	return SK_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
