//! The parent that does not die: it starts processes from plans, keeps their pidfds, pipes and exits, and keeps the
//! daemon running.
//! Owns: every child, and every fd that must outlive the daemon.
//! Never: decides anything about an app, which it has never heard of; starts a thread; imports anything but `sys`.
//! `protocol` is what the daemon speaks with it.

#![forbid(unsafe_code)]
// They panic where nobody takes what is printed: `say` does not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod codec;
mod failure;
mod fdstore;
mod keeper;
mod link;
pub mod plan;
pub mod protocol;
mod reexec;
mod request;
mod restart;
mod run;
mod say;
mod spill;
mod stall;
mod start;
mod store;
mod systemd;
mod table;
mod watchdog;
mod wire;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz {
    //! Doors for `crate::fuzz`.

    use super::protocol::{Message, Request};
    use super::reexec::Carried;

    /// Whatever can be read can be written, and is read as the same again.
    pub fn messages(data: &[u8]) {
        if let Ok(request) = Request::decode(data) {
            assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
        }
        if let Ok(message) = Message::decode(data) {
            assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
        }
        let _ = Carried::decode(data);
    }
}

pub use start::main;
