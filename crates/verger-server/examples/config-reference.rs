//! Prints `docs/config.md`: `cargo xtask docs` puts it there.

fn main() {
    print!("{}", verger_server::config::reference());
}
