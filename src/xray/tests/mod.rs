//! Tests of the x-ray as a whole, on a fake loop; small ones stand at the end of the file that they test.

mod environment;
mod fake;
mod lines;
mod recording;
mod replaying;
mod table;
