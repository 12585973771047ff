//! What the lessons about applications share: the pattern of an application that serves HTTP, and what it talks to.
//!
//! It is not a part of looplab, and it is small enough to be read. `app` is the application with its hooks, contexts and
//! routes. `context` holds what is opened before the serving and closed after it. `connections` are the HTTP connections
//! (hyper on looplab's sockets). `run_app` is the life cycle with its signals. `browser` plays the users. `redis` and
//! `redis_server` are a client for Redis and a server to talk to. The life cycle is aiohttp's, so each lesson prints what
//! its twin prints.

#![allow(missing_debug_implementations, reason = "a lesson prints none of them")]

mod app;
pub mod browser;
mod connections;
mod context;
pub mod redis;
pub mod redis_embedded;
pub mod redis_frames;
pub mod redis_server;
mod run_app;

pub use app::{App, Request, Response, answer, text};
pub use context::Serving;
pub use run_app::{Options, Running, Site, run_app, run_app_on};
