//! The committed BPF objects are those that their source makes.

use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_objects_are_built_from_the_source_beside_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/balance");
    let built = std::env::temp_dir().join(format!("stead-bpf-{}", std::process::id()));
    std::fs::create_dir_all(&built).unwrap();
    let done = Command::new(source.join("build")).arg(&built).output().unwrap();
    assert!(
        done.status.success(),
        "{}\nit needs what tests/run installs: apt-get install clang-14 llvm-14 libbpf-dev gcc",
        String::from_utf8_lossy(&done.stderr)
    );
    for name in ["hooks.bpf.o", "route.bpf.o"] {
        let same = std::fs::read(built.join(name)).unwrap() == std::fs::read(source.join(name)).unwrap();
        assert!(same, "{name} is not what its source makes: run src/balance/build and commit it");
    }
    std::fs::remove_dir_all(&built).unwrap();
}
