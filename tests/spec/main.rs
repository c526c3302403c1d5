//! What stead promises, as far as it can be seen without privileges: no processes, no files, no sleeps.

mod architecture;
mod bpf;
mod cli;
mod config;
mod config_rules;
mod core_properties;
mod core_rules;
mod core_scenarios;
mod core_times;
mod ecosystem;
mod monit;
mod packaging;
mod readme;
mod scenario;
