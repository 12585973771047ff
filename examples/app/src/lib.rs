//! What the lessons about applications share: the pattern of an application that serves HTTP, and what it talks to.
//!
//! It is not a part of looplab, and it is small enough to be read: `app` is the application (its hooks, contexts and
//! routes), `context` what is opened before serving and closed behind it, `connections` the HTTP connections (hyper on
//! looplab's sockets), `run_app` the life cycle, signals included. `browser` stands for the users, `redis` and
//! `redis_server` are a client for Redis and a server to talk to. The life cycle is aiohttp's, so that each lesson prints
//! what its twin prints.

#![allow(missing_debug_implementations, reason = "a lesson prints none of them")]

mod app;
pub mod browser;
mod connections;
mod context;
pub mod redis;
pub mod redis_server;
mod run_app;

pub use app::{App, Request, Response, answer, text};
pub use context::Serving;
pub use run_app::{Options, Running, Site, run_app, run_app_on};
