//! Linux, wrapped: one concept per file, and the only `unsafe` of the tree.
//! Owns: system calls and the kernel's text formats, as plain integers, owned fds and errnos.
//! Never: decides, retries, logs, or imports anything else of ours. What the holder calls must also stay small:
//! no cgroups-rs, no procfs, no thread.

pub mod bpf;
pub mod capability;
pub mod cgroup;
pub mod child;
pub mod clone;
mod credentials;
pub mod identity;
pub mod inet_diag;
pub mod inherit;
pub mod listener;
pub mod listening;
pub mod memfd;
pub mod memory;
mod mounts;
pub mod open;
pub mod pidfd;
pub mod pipe;
pub mod priority;
pub mod proc_net;
pub mod quickack;
pub mod rlimit;
pub mod signal;
pub mod socket;
pub mod stream;
pub mod timer;
pub mod wall_timer;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz {
    //! Doors for `crate::fuzz`.

    /// What procfs and cgroupfs say.
    pub fn kernel_files(text: &str) {
        use super::cgroup::parse;
        let _ = (parse::keyed(text), parse::key(text, "oom_kill"), parse::number(text), parse::pids(text));
        let _ = (parse::unified_path(text), parse::mounts(text));
        for line in text.lines() {
            super::proc_net::parse_for_fuzzing(line);
        }
    }
}

// The unwinder of a build that never unwinds: linked in, it costs some pages of the file; as libgcc_s.so it is one more
// library to map at every start, whose constructor asks the CPU what it is, which a virtual machine traps each time:
// a tenth of a `stead list`.
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

#[cfg(not(target_pointer_width = "64"))]
compile_error!("stead is for 64-bit Linux: the raw credential system calls used here are the 16-bit ones elsewhere");
