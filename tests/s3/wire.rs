//! A broken line to a server: HTTP through a proxy that fails, hangs, cuts or answers 500 at the request it is told to.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An answer of the store's own trouble.
    Trouble,
    /// An answer that asks to slow down.
    Throttled,
    /// No answer at all.
    Hang,
    /// The line is cut before the server hears of it.
    CutBefore,
    /// The server does it, and the line is cut before its answer.
    CutAfter,
    /// Half of the answer's body, then the line is cut.
    Half,
    /// Another byte in the answer's body.
    Altered,
    /// An answer that the key has no right to this.
    Denied,
    /// An answer that there is no room.
    Full,
}

/// Which requests it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// None.
    Sound,
    /// The one with this number, counted from 1.
    Once(usize, Fault),
    /// That one and all after it.
    From(usize, Fault),
    /// The store answers 200 and gives back other bytes of every dump.
    Lying,
    /// Every reading of a dump.
    Dumps(Fault),
    /// The first one alone.
    FirstDump(Fault),
    /// The part of an upload with this number, counted from 1, and all after it.
    Parts(usize, Fault),
    /// The removal with this number, counted from 1, and all after it.
    Removals(usize, Fault),
}

/// The line; it ends with the process.
#[derive(Debug)]
pub struct Wire {
    /// Where it listens.
    pub address: SocketAddr,
    plan: watch::Sender<Plan>,
    count: Arc<AtomicUsize>,
    removals: Arc<AtomicUsize>,
    parts: Arc<AtomicUsize>,
    dumps: Arc<AtomicUsize>,
}

impl Wire {
    /// A line to `server`, sound at first.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a line of the test");
        listener.set_nonblocking(true).expect("a line of the test");
        let port = listener.local_addr().expect("a line of the test").port();
        let (plan, planned) = watch::channel(Plan::Sound);
        let count = Arc::new(AtomicUsize::new(0));
        let removals = Arc::new(AtomicUsize::new(0));
        let parts = Arc::new(AtomicUsize::new(0));
        let dumps = Arc::new(AtomicUsize::new(0));
        let line = Line {
            server,
            planned,
            count: Arc::clone(&count),
            removals: Arc::clone(&removals),
            parts: Arc::clone(&parts),
            dumps: Arc::clone(&dumps),
        };
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a line of the test").block_on(async move {
                let listener =
                    tokio::net::TcpListener::from_std(listener).expect("a line of the test");
                ready.send(()).expect("a line of the test");
                line.serve(listener).await;
            });
        });
        is_ready.recv().expect("a line of the test");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            address,
            plan,
            count,
            removals,
            parts,
            dumps,
        }
    }

    /// Counts from 1 again, and breaks as planned.
    pub fn plan(&self, plan: Plan) {
        for count in [&self.count, &self.removals, &self.parts, &self.dumps] {
            count.store(0, Ordering::SeqCst);
        }
        self.plan.send_replace(plan);
    }

    /// How many objects were asked to be removed since.
    pub fn removals(&self) -> usize {
        self.removals.load(Ordering::SeqCst)
    }

    /// How many parts of uploads came since.
    pub fn parts(&self) -> usize {
        self.parts.load(Ordering::SeqCst)
    }

    /// How many readings of dumps were asked for since.
    pub fn dumps(&self) -> usize {
        self.dumps.load(Ordering::SeqCst)
    }

    /// How many requests came since.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Line {
    server: SocketAddr,
    planned: watch::Receiver<Plan>,
    count: Arc<AtomicUsize>,
    removals: Arc<AtomicUsize>,
    parts: Arc<AtomicUsize>,
    dumps: Arc<AtomicUsize>,
}

type Body = BoxBody<Bytes, std::io::Error>;

impl Line {
    async fn serve(self, listener: tokio::net::TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.expect("a line of the test");
            let line = self.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| line.clone().answer(request));
                let served = hyper::server::conn::http1::Builder::new();
                drop(served.serve_connection(TokioIo::new(socket), service).await);
            });
            while connections.try_join_next().is_some() {}
        }
    }

    fn fault(&self, request: &Request<Incoming>) -> Option<Fault> {
        let nth = |count: &AtomicUsize, counts: bool| {
            let before = count.fetch_add(usize::from(counts), Ordering::SeqCst);
            counts.then_some(before + 1)
        };
        let number = nth(&self.count, true).unwrap_or_default();
        let removal = nth(&self.removals, is_removal(request));
        let part = nth(&self.parts, is_part(request));
        let dump = nth(&self.dumps, is_reading_of_dump(request));
        match *self.planned.borrow() {
            Plan::Once(at, fault) if at == number => Some(fault),
            Plan::From(at, fault) if number >= at => Some(fault),
            Plan::Lying => dump.map(|_| Fault::Altered),
            Plan::Removals(from, fault) => removal.filter(|it| *it >= from).map(|_| fault),
            Plan::Dumps(fault) => dump.map(|_| fault),
            Plan::FirstDump(fault) => dump.filter(|it| *it == 1).map(|_| fault),
            Plan::Parts(from, fault) => part.filter(|it| *it >= from).map(|_| fault),
            Plan::Sound | Plan::Once(..) | Plan::From(..) => None,
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let cut = || std::io::Error::other("cut");
        match self.fault(&request) {
            None => self.forward(request).await,
            Some(Fault::Trouble) => said(500, "InternalError", request).await,
            Some(Fault::Throttled) => said(503, "SlowDown", request).await,
            Some(Fault::Denied) => said(403, "AccessDenied", request).await,
            Some(Fault::Full) => said(507, "InsufficientStorage", request).await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::CutBefore) => Err(cut()),
            Some(Fault::CutAfter) => {
                self.forward(request).await?;
                Err(cut())
            }
            Some(Fault::Half) => {
                let (head, body) = self.forward(request).await?.into_parts();
                let whole = body.collect().await?.to_bytes();
                let half = whole.slice(..whole.len() / 2);
                let frames = futures_util::stream::iter([Ok(Frame::data(half)), Err(cut())]);
                Ok(Response::from_parts(head, StreamBody::new(frames).boxed()))
            }
            Some(Fault::Altered) => {
                let (head, body) = self.forward(request).await?.into_parts();
                let mut whole = body.collect().await?.to_bytes().to_vec();
                if let Some(byte) = whole.last_mut() {
                    *byte ^= 1;
                }
                Ok(Response::from_parts(head, full(Bytes::from(whole))))
            }
        }
    }

    /// As it came: the signature covers the host's name and every header that matters.
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?;
        let body = body.to_bytes();
        let socket = tokio::net::TcpStream::connect(self.server).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .map_err(std::io::Error::other)?;
        let asked = Request::from_parts(head, Full::new(body));
        let answered = async {
            let (head, body) = sender.send_request(asked).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::from_parts(head, body))
        };
        let answered = tokio::select! {
            answered = answered => answered,
            // It ends after its answer only.
            _ended = connection => return Err(std::io::Error::other("the server went away")),
        };
        Ok(answered.map_err(std::io::Error::other)?.map(full))
    }
}

/// Of an object; an upload that is given up is none.
fn is_removal(request: &Request<Incoming>) -> bool {
    request.method() == hyper::Method::DELETE
        && !request
            .uri()
            .query()
            .is_some_and(|it| it.contains("uploadId"))
}

fn is_part(request: &Request<Incoming>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == hyper::Method::PUT && query.contains("partNumber=")
}

fn is_reading_of_dump(request: &Request<Incoming>) -> bool {
    request.method() == hyper::Method::GET && request.uri().path().contains(".dump")
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed()
}

async fn said(
    status: u16,
    code: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    // An answer in the middle of a body breaks the line, which is another fault.
    drop(request.into_body().collect().await);
    let body = format!("<Error><Code>{code}</Code><Message>planned</Message></Error>");
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", "application/xml");
    answer
        .body(full(Bytes::from(body)))
        .map_err(std::io::Error::other)
}
