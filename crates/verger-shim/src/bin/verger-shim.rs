//! The shim as a program of its own, for owners that do not want to be their own image.

fn main() {
    verger_shim::main()
}
