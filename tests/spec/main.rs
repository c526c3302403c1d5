//! What stead promises, as far as it can be seen without privileges: no processes, no files, no sleeps.

mod architecture;
mod bpf;
mod cli;
mod config;
mod core_properties;
mod core_scenarios;
mod monit;
mod packaging;
mod readme;
mod scenario;
