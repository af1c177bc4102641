//! Links `verger` to a fixed address.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // Every helper's shim is a process of this image. At an address that is only known at its start, all tables of
        // pointers are written anew in each: 240 kB that no two shims share.
        println!("cargo::rustc-link-arg-bin=verger=-no-pie");
    }
}
