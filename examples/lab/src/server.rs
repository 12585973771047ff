//! HTTP on looplab: connections, requests, and answers that grow while a program runs.
//!
//! Each connection is a task that drives hyper, each request a task of its own. An answer is a text, or lines that come
//! one by one. A client that goes away drops its answer, which ends the program behind it.

use crate::gate::{Gate, Refusal};
use crate::routes::{self, Lab};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use looplab::net::{TcpListener, TcpStream};
use looplab::{Error, Result, Task, cancellable, create_task};
use smol_hyper::rt::FuturesIo;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub(crate) type Request = hyper::Request<Incoming>;
pub(crate) type Response = hyper::Response<Answer>;

/// More connections than any browser opens.
const MOST_CONNECTIONS: usize = 64;
/// The longest head of a request.
const LONGEST_HEAD: usize = 16 << 10;

/// What a page of the lab may load: its own files and nothing else.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What the X-ray page may load: nothing. It may be a frame of the lab.
pub(crate) const XRAY_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Accepts connections until it is cancelled.
pub(crate) async fn serve(lab: Rc<Lab>, ready: impl FnOnce(&str)) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let gate = Rc::new(Gate::new(listener.local_addr()?.port())?);
    ready(&gate.address());
    let open = Rc::new(Cell::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        if open.get() >= MOST_CONNECTIONS {
            continue; // the drop closes it
        }
        open.set(open.get() + 1);
        let task = create_task(connection(stream, lab.clone(), gate.clone()));
        let open = open.clone();
        task.add_done_callback(move |_| open.set(open.get() - 1));
    }
}

/// Serves one connection. What goes wrong with it is the client's matter.
async fn connection(stream: TcpStream, lab: Rc<Lab>, gate: Rc<Gate>) -> Result<()> {
    let service = service_fn(|request| answer(request, lab.clone(), gate.clone()));
    let mut connection = pin!(
        http1::Builder::new().max_buf_size(LONGEST_HEAD).serve_connection(FuturesIo::new(&stream), service)
    );
    let driven = poll_fn(|cx| connection.as_mut().poll(cx).map_err(Error::other));
    match cancellable(driven).await? {
        Err(error) if error.is_cancelled() => Err(error),
        _ => Ok(()),
    }
}

/// Answers one request, in a task of its own, and adds the headers that every answer has.
async fn answer(request: Request, lab: Rc<Lab>, gate: Rc<Gate>) -> Result<Response> {
    let answered = match admit(&request, &gate) {
        Ok(None) => create_task(routes::answer(lab, request)).into_output().await?,
        Ok(Some(to_the_key)) => to_the_key,
        Err(refusal) => plain(StatusCode::FORBIDDEN, refusal.as_str()),
    };
    Ok(with_headers(answered))
}

/// Refuses a request, or lets it pass. The first visit has the key in its address, and gets the cookie for it.
fn admit(request: &Request, gate: &Gate) -> std::result::Result<Option<Response>, Refusal> {
    gate.comes_from_here(request.headers())?;
    let key = request.uri().query().and_then(|query| query.strip_prefix("key="));
    match key {
        Some(key) if request.uri().path() == "/" && request.method() == Method::GET && gate.is_key(key) => {
            let mut response = plain(StatusCode::SEE_OTHER, "");
            let cookie = HeaderValue::from_str(&gate.cookie()).map_err(|_| Refusal::Key)?;
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
            Ok(Some(response))
        }
        _ => gate.has_key(request.headers()).map(|()| None),
    }
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut add = |name: &'static str, value| {
        let name = HeaderName::from_static(name);
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add("content-security-policy", POLICY);
    add("x-content-type-options", "nosniff");
    add("referrer-policy", "no-referrer");
    add("cache-control", "no-store");
    add("cross-origin-resource-policy", "same-origin");
    add("cross-origin-opener-policy", "same-origin");
    response
}

/// Returns an answer that is a plain text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

/// Returns an answer with its type.
pub(crate) fn typed(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Answer::Text(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Returns an answer whose lines `work` writes. If the client goes away, `work` is cancelled.
pub(crate) fn lines<F>(work: impl FnOnce(Lines) -> F) -> Result<Response>
where
    F: Future<Output = Result<()>> + 'static,
{
    let lines = Lines::default();
    let task = create_task(work(lines.clone()));
    let ended = lines.clone();
    task.add_done_callback(move |_| ended.end());
    let mut response = Response::new(Answer::Lines(lines, CancelOnDrop(task)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(response)
}

/// The body of an answer.
pub(crate) enum Answer {
    Text(Option<Bytes>),
    Lines(Lines, #[allow(dead_code, reason = "its drop is what counts")] CancelOnDrop),
}

/// A task that is cancelled with its answer.
pub(crate) struct CancelOnDrop(Task<()>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Lines that have not been sent yet: one side writes, hyper reads.
#[derive(Clone, Default)]
pub(crate) struct Lines(Rc<RefCell<Unsent>>);

#[derive(Default)]
struct Unsent {
    lines: VecDeque<Bytes>,
    ended: bool,
    waker: Option<Waker>,
}

impl Lines {
    /// Sends a line.
    pub(crate) fn send(&self, line: &serde_json::Value) {
        self.0.borrow_mut().lines.push_back(format!("{line}\n").into());
        self.wake();
    }

    fn end(&self) {
        self.0.borrow_mut().ended = true;
        self.wake();
    }

    fn wake(&self) {
        let waker = self.0.borrow_mut().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Answer::Text(text) => text.take(),
            Answer::Lines(lines, _) => {
                let mut unsent = lines.0.borrow_mut();
                match unsent.lines.pop_front() {
                    None if !unsent.ended => {
                        unsent.waker = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    next => next,
                }
            }
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Text(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Answer::Lines(..) => SizeHint::default(),
        }
    }
}
