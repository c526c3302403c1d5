//! The daemon: every decision, the log files, the control interface.

fn main() -> std::process::ExitCode {
    stead::daemon::main()
}
