//! What the compiler says to a mistake that it can be taught about.
//!
//! | promise | test |
//! |---|---|
//! | A callback of the wrong shape is answered with what to write instead. | `the_compiler_says_what_to_write_instead` |
//! | The compiler says what `docs/from-asyncio.md` quotes. | `the_compiler_says_what_to_write_instead` |
//!
//! The texts are those of one toolchain, on which CI runs the test: `cargo +1.95.0 test --test compiler -- --ignored`.
//! `TRYBUILD=overwrite` before it writes the expected texts anew.

use std::env;
use std::process::Command;

/// The toolchain whose texts are recorded.
const PINNED: &str = "1.95.0";

#[test]
#[ignore = "it needs the toolchain whose texts are recorded, and builds the library once more"]
fn the_compiler_says_what_to_write_instead() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().expect("a compiler has built this test");
    let version = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(version.starts_with(&format!("rustc {PINNED} ")), "this is {version}, and not {PINNED}");
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
