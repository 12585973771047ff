//! Of the echo's files, those that the instruction counter needs.

#[path = "client.rs"]
mod client;
#[path = "counted.rs"]
pub(crate) mod counted;
