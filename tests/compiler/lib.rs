//! The test is `main.rs`. A package without a library or a program is none.
