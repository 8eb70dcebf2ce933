//! Chores: `cargo xtask demo` shows what the project does, `cargo xtask test` proves it, `cargo xtask bench` tells how fast it is.
//!
//! Nothing of this is part of the product. What the chores need of the machine they install or name.

#![expect(clippy::print_stdout, reason = "chores talk to whoever runs them")]

mod bench;
mod clients;
mod demo;
mod machine;
mod test;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask demo [--debug] | cargo xtask test | cargo xtask bench [--help]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["demo"] => demo::run(machine::Build::Release),
        ["demo", "--debug"] => demo::run(machine::Build::Debug),
        ["demo-inside", layerd, layer] => demo::inside(layerd.as_ref(), layer.as_ref()),
        ["test"] => test::run(),
        ["bench", options @ ..] => bench::run(options),
        ["bench-inside", layerd, layer, options @ ..] => bench::inside(layerd.as_ref(), layer.as_ref(), options),
        _ => bail!(USAGE),
    }
}
