//! The application: routes, hooks, contexts, and what is stored in it.
//!
//! It promises aiohttp's order. Startup: the contexts in order, then the startup hooks, one awaited after the other; the
//! first failure ends it. Cleanup: the contexts backwards, then the cleanup hooks, and a failing context does not keep
//! the others from being left. It knows no socket and no signal.

use super::context::{Context, Serving};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use looplab::{Error, ErrorGroup, Result};
use std::any::Any;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

/// The request of a handler, which is hyper's.
pub type Request = hyper::Request<Incoming>;
/// The response of a handler, which is hyper's.
pub type Response = hyper::Response<Full<Bytes>>;

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>>>>;
type Hook = Rc<dyn Fn(App) -> Boxed<()>>;
type Handler = Rc<dyn Fn(App, Request) -> Boxed<Response>>;
type MakeContext = Rc<dyn Fn(App, Serving) -> Boxed<()>>;

/// A handle: cloning gives the same application.
#[derive(Clone, Default)]
pub struct App(Rc<Inner>);

#[derive(Default)]
struct Inner {
    routes: RefCell<Vec<(String, Handler)>>,
    contexts: RefCell<Vec<MakeContext>>,
    on_startup: RefCell<Vec<Hook>>,
    on_shutdown: RefCell<Vec<Hook>>,
    on_cleanup: RefCell<Vec<Hook>>,
    /// The contexts that were entered and not yet left, the newest last.
    entered: RefCell<Vec<Context>>,
    stored: RefCell<Vec<Rc<dyn Any>>>,
}

impl App {
    /// Makes an application without routes and hooks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers each request at `path` (GET or any other method) by `handler`, in a task of its own.
    pub fn route<F>(&self, path: &str, handler: F)
    where
        F: AsyncFn(App, Request) -> Result<Response> + 'static,
    {
        let handler = Rc::new(handler);
        let handler: Handler = Rc::new(move |app, request| {
            let handler = handler.clone();
            Box::pin(async move { handler(app, request).await })
        });
        self.0.routes.borrow_mut().push((path.to_owned(), handler));
    }

    /// Adds a hook that is awaited before the port is open.
    pub fn on_startup(&self, hook: impl AsyncFn(App) -> Result<()> + 'static) {
        self.0.on_startup.borrow_mut().push(boxed(hook));
    }

    /// Adds a hook that is awaited after the port is closed, while requests are still in flight.
    pub fn on_shutdown(&self, hook: impl AsyncFn(App) -> Result<()> + 'static) {
        self.0.on_shutdown.borrow_mut().push(boxed(hook));
    }

    /// Adds a hook that is awaited after the requests: they have ended or were cancelled.
    pub fn on_cleanup(&self, hook: impl AsyncFn(App) -> Result<()> + 'static) {
        self.0.on_cleanup.borrow_mut().push(boxed(hook));
    }

    /// Adds a context around the serving: see [`Serving`].
    pub fn context(&self, context: impl AsyncFn(App, Serving) -> Result<()> + 'static) {
        let context = Rc::new(context);
        let context: MakeContext = Rc::new(move |app, serving| {
            let context = context.clone();
            Box::pin(async move { context(app, serving).await })
        });
        self.0.contexts.borrow_mut().push(context);
    }

    /// Stores one value of a type in the application (`app[key] = value`).
    pub fn store<T: 'static>(&self, value: T) {
        let value: Rc<dyn Any> = Rc::new(value);
        let before = {
            let mut stored = self.0.stored.borrow_mut();
            let at = stored.iter().position(|stored| stored.is::<T>());
            let before = at.map(|at| stored.remove(at));
            stored.push(value);
            before
        };
        // Its destructor may ask the application for something.
        drop(before);
    }

    /// Returns the stored value of this type (`app[key]`).
    pub fn stored<T: 'static>(&self) -> Result<Rc<T>> {
        let stored = self.0.stored.borrow();
        let found = stored.iter().find_map(|value| value.clone().downcast().ok());
        found.ok_or_else(|| Error::msg(format!("nothing is stored as {}", std::any::type_name::<T>())))
    }

    // ---- for the server ----

    pub(super) fn handle(&self, request: Request) -> Boxed<Response> {
        let routes = self.0.routes.borrow();
        let route = routes.iter().find(|(path, _)| path == request.uri().path());
        match route.map(|(_, handler)| handler.clone()) {
            Some(handler) => handler(self.clone(), request),
            None => Box::pin(async { Ok(answer(404, "404: Not Found")) }),
        }
    }

    pub(super) async fn startup(&self) -> Result<()> {
        let contexts = self.0.contexts.borrow().clone();
        for make in contexts {
            let mut context = Context::new(|serving| make(self.clone(), serving));
            context.enter().await?;
            self.0.entered.borrow_mut().push(context);
        }
        self.call_each(&self.0.on_startup).await
    }

    pub(super) async fn shutdown(&self) -> Result<()> {
        self.call_each(&self.0.on_shutdown).await
    }

    pub(super) async fn cleanup(&self) -> Result<()> {
        let mut errors = Vec::new();
        while let Some(context) = self.last_entered() {
            errors.extend(context.leave(Ok(())).await.err());
        }
        match errors.len() {
            0 => self.call_each(&self.0.on_cleanup).await,
            1 => Err(errors.remove(0)),
            _ => Err(Error::Group(ErrorGroup::new("Multiple errors on cleanup stage", errors))),
        }
    }

    /// Ends the contexts that a failed startup has left behind: their wait fails with [`Error::CoroutineExit`], as a Python
    /// generator is ended by `GeneratorExit`. Code that is not made for it (a `?`) does not run on.
    pub(super) async fn abandon(&self) -> Result<()> {
        while let Some(context) = self.last_entered() {
            match context.leave(Err(Error::CoroutineExit)).await {
                Err(Error::CoroutineExit) => {}
                ended => ended?,
            }
        }
        Ok(())
    }

    fn last_entered(&self) -> Option<Context> {
        self.0.entered.borrow_mut().pop()
    }

    async fn call_each(&self, hooks: &RefCell<Vec<Hook>>) -> Result<()> {
        let hooks = hooks.borrow().clone();
        for hook in hooks {
            hook(self.clone()).await?;
        }
        Ok(())
    }
}

fn boxed(hook: impl AsyncFn(App) -> Result<()> + 'static) -> Hook {
    let hook = Rc::new(hook);
    Rc::new(move |app| {
        let hook = hook.clone();
        Box::pin(async move { hook(app).await })
    })
}

/// Returns a response with status 200 and a text.
pub fn text(text: impl Into<Bytes>) -> Response {
    answer(200, text)
}

/// Returns a response with a status and a text.
pub fn answer(status: u16, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}
