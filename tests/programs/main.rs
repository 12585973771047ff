//! Whole programs: the runner, applications, processes.

mod app_clients;
mod app_life;
mod processes;
mod runner;
