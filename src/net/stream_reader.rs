//! `StreamReader`: bytes that have come, and those who wait for more.
