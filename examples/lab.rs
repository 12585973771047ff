//! The lab: every lesson in a browser, in five steps. Its code is the package `examples/lab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    looplab_lab::main()
}
