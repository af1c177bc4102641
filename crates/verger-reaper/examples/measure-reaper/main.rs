//! What custody costs against starting and killing the same programs plainly, in the same run: `cargo xtask bench reaper`.
//!
//! `measure-reaper IMAGE [small]`, where IMAGE is the program that shims are made of. A worker process for each way of
//! keeping helpers does what it is told; this one tells them in turn, and prints a table. `small` is for a try.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on says why by failing")]

mod held;
mod helpers;
mod plain;
mod plan;
mod table;
mod worker;

use std::path::PathBuf;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        ["helper"] => helpers::be_stubborn(),
        ["worker", "plain", ballast, _] => worker::work(ballast, plain::Plain::default()),
        ["worker", level, ballast, image] => held::work(level, ballast, image.into()),
        [image] => println!("{}", plan::measure(&absolute(image), &plan::FULL)),
        [image, "small"] => println!("{}", plan::measure(&absolute(image), &plan::SMALL)),
        _ => panic!("usage: measure-reaper IMAGE [small]"),
    }
}

fn absolute(image: &str) -> PathBuf {
    let image = std::path::absolute(image).unwrap();
    assert!(image.is_file(), "{} is the image of shims and does not exist", image.display());
    image
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
