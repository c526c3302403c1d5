//! One port, many instances: which of them new connections go to, and when one may let go of those it has.
//! Never: decides which run is to be drained; the core does.

#![forbid(unsafe_code)]

pub mod drain;
