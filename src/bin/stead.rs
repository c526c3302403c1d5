//! `stead`, the command people type.
fn main() -> std::process::ExitCode {
    stead::cli::main()
}
