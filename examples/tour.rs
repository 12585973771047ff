//! The tour: every lesson, run and checked against what CPython prints. Its code is the package `examples/tour`.

use std::process::ExitCode;

fn main() -> ExitCode {
    looplab_tour::main()
}
