//! Cargo wants a library or a program in each package. The test is `main.rs`.
