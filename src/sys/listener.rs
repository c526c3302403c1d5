//! Listening sockets made for others.

/// The first port that anybody may bind (ip(7), ip_unprivileged_port_start); 1024 before Linux 4.11.
pub fn unprivileged_port_start() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}
