//! The whole of stead on the real kernel: real holder, daemon, cgroups, private bus, real programs, real `kill -9`.
//! Needs root. Each test has its own directories and base cgroup, so they run side by side.

mod adoption;
mod bad_input;
mod boot;
mod bus;
mod draining;
mod ecosystem;
mod faults;
mod fd_store;
mod holder;
mod kept_alive;
mod limits;
mod load;
mod logging;
mod metrics;
mod monit;
mod passed;
mod pidfiles;
mod ports;
mod readiness;
mod remote;
mod rolls;
mod rules;
mod sandbox;
mod scripts;
mod spawning;
mod stopping;
mod support;
mod times;
mod trouble;
mod under_load;
