//! What the repository says about itself: the tour, the pages, the traces, the table of differences.

mod differences;
mod lesson_traces;
mod pages;
mod places;
mod schema;
mod tour;
mod traces;
