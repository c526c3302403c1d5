//! The parent that does not die. Owns: nothing but the call. Never: links what the daemon needs and it does not.

fn main() -> std::process::ExitCode {
    stead::holder::main()
}
