//! `StreamWriter`: what is to be written, and flow control.
