//! Memory of this process.
//! Owns: giving back what was freed. Never: frees.

/// Returns freed memory to the kernel after an unusually large piece of work (malloc_trim(3)). Nothing on a C library
/// that does so by itself.
pub fn give_back() {
    // SAFETY: it touches free memory only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
