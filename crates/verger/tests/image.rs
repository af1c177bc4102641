//! The program as the image of shims: what each of them would have to hold for itself is none of its tables.

/// `e_type` of a program that is linked to a fixed address.
const ET_EXEC: u16 = 2;

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn no_table_of_pointers_is_written_anew_in_each_shim() {
    let image = std::fs::read(env!("CARGO_BIN_EXE_verger")).expect("it was built");
    let kind = u16::from_ne_bytes([image[16], image[17]]);
    assert_eq!(kind, ET_EXEC, "the link argument of build.rs has no effect: see there what that costs");
}
