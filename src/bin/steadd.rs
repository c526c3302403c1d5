fn main() -> std::process::ExitCode {
    stead::daemon::main()
}
