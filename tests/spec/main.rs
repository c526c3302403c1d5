//! What stead promises, as far as it can be seen without privileges: no processes, no files, no sleeps.

mod architecture;
mod core_properties;
mod core_scenarios;
mod scenario;
