//! The network between a replica and the API servers.
//!
//! Input: a replica's requests, the faults in force. Output: answers, late or never. I/O: none.
//!
//! A request is on its way as soon as it is sent: whether its sender still lives does not matter any more. So each travels
//! in a task of its own, and a replica that is killed may have its patch applied afterwards.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use reloader::run::surroundings::{Answer, Connect, Fence, Transport};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tower::{BoxError, Service, ServiceExt};

use crate::{
    draws::Draws,
    server::{Delay, Front},
};

/// The time after which the kernel or a ping has noticed a connection that is dead.
pub const DEAD: Duration = Duration::from_mins(1);

/// What goes wrong on the way, in thousandths of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Weather {
    /// Requests that never arrive.
    pub lost: u64,
    /// Answers that never arrive.
    pub unanswered: u64,
    /// Requests that arrive late, by up to `late_ms`.
    pub late: u64,
    /// How late, at most.
    pub late_ms: u64,
    /// Requests that are refused with 429 or 5xx.
    pub refused: u64,
    /// Answers to patches that never arrive.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswered_patches: u64,
    /// Watches that show nothing while this lasts, and end when that is noticed.
    pub silent_watches: bool,
    /// Only these watches are silent: each has a connection of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_only: Option<Watched>,
    /// Watches end.
    pub cut_watches: bool,
}

/// The watches of some kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Watched {
    /// ConfigMaps.
    Sources,
    /// Workloads of all kinds.
    Workloads,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Weather {
    /// Whether the watch of that path is silent.
    pub fn silences(&self, path: &str) -> bool {
        let is_of_sources = path.ends_with("/configmaps");
        self.silent_watches
            && match self.silent_only {
                None => true,
                Some(Watched::Sources) => is_of_sources,
                Some(Watched::Workloads) => !is_of_sources,
            }
    }
}

/// Where a replica is when it dies, counted in its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Phase {
    /// Nothing was sent.
    BeforeSending,
    /// The API server has acted, and the answer is on its way.
    AfterCommit,
    /// The answer has arrived.
    AfterAnswer,
}

/// A replica's death, at one of its calls.
pub struct Trap {
    /// Which call, from 0.
    pub call: usize,
    /// When in it.
    pub phase: Phase,
    /// Kills.
    pub spring: Box<dyn FnOnce() + Send>,
}

/// What a replica asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `GET`, `PATCH`, ...; `WATCH` for a watch.
    pub verb: String,
    /// The path, without its query.
    pub path: String,
}

struct State {
    /// Every call so far.
    calls: Vec<Call>,
    /// How often each call was made.
    ordinals: BTreeMap<Call, u64>,
    connections: u64,
    trap: Option<Trap>,
}

/// The connections of one process.
pub struct Link {
    name: String,
    fronts: Vec<Front>,
    draws: Draws,
    state: Mutex<State>,
    /// What goes wrong at present.
    weather: watch::Sender<Weather>,
    /// Set when the process is gone: nothing is sent any more.
    dead: watch::Sender<bool>,
    /// Set when the process trusts no API server any more: it sends nothing that arrives.
    distrusted: watch::Sender<bool>,
    fence: Mutex<Option<Fence>>,
}

impl Link {
    /// The connections of the process of that name to these API servers.
    pub fn new(name: &str, fronts: &[Front], draws: Draws) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            fronts: fronts.to_vec(),
            draws,
            state: Mutex::new(State {
                calls: Vec::new(),
                ordinals: BTreeMap::new(),
                connections: 0,
                trap: None,
            }),
            weather: watch::Sender::new(Weather::default()),
            dead: watch::Sender::new(false),
            distrusted: watch::Sender::new(false),
            fence: Mutex::new(None),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this goes wrong.
    pub fn set_weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Kills at one of the calls.
    pub fn set_trap(&self, trap: Trap) {
        self.state().trap = Some(trap);
    }

    /// The process is gone.
    pub fn die(&self) {
        self.dead.send_replace(true);
    }

    /// From now on the process refuses the API servers' certificates.
    pub fn distrust(&self) {
        self.distrusted.send_replace(true);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Whether the process takes itself for the leader.
    pub fn may_write(&self) -> bool {
        let fence = self.fence.lock().unwrap_or_else(PoisonError::into_inner);
        !*self.dead.borrow() && fence.as_ref().is_some_and(|fence| fence())
    }

    /// Notes a call; gives its own stream of choices, and springs the trap that was set for this call.
    fn note(&self, call: Call) -> (Draws, Option<Trap>) {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(call.clone());
        let name = format!("{} {}", call.verb, call.path);
        let ordinal = state.ordinals.entry(call).or_default();
        *ordinal += 1;
        let draws = self.draws.of(&name, *ordinal);
        let trap = state.trap.take_if(|trap| trap.call == number);
        (draws, trap)
    }

    fn connection(self: &Arc<Self>, fence: Option<Fence>) -> Connection {
        if let Some(fence) = &fence {
            *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(fence));
        }
        let number = {
            let mut state = self.state();
            state.connections += 1;
            state.connections
        };
        let at = self.draws.of("front", number).within(0..self.fronts.len() as u64);
        Connection {
            link: Arc::clone(self),
            front: self.fronts[usize::try_from(at).unwrap_or_default()].clone(),
            fence,
        }
    }
}

/// Connects a replica through its link.
pub struct Connector(pub Arc<Link>);

impl Connect for Connector {
    fn connect(&self, fence: Option<Fence>) -> Transport {
        self.0.connection(fence).boxed_clone()
    }
}

/// One client's connection, which stays with one API server.
#[derive(Clone)]
struct Connection {
    link: Arc<Link>,
    front: Front,
    fence: Option<Fence>,
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

impl Connection {
    async fn send(self, request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.collect().await?.to_bytes());
        let is_watch = is_watch(&request);
        let call = Call {
            verb: if is_watch {
                "WATCH".to_owned()
            } else {
                request.method().to_string()
            },
            path: request.uri().path().to_owned(),
        };
        let (draws, trap) = self.link.note(call);
        let (mut before, mut committed, mut after) = (None, None, None);
        if let Some(Trap { phase, spring, .. }) = trap {
            match phase {
                Phase::BeforeSending => before = Some(spring),
                Phase::AfterCommit => committed = Some(spring),
                Phase::AfterAnswer => after = Some(spring),
            }
        }
        if let Some(spring) = before.take() {
            spring();
        }
        if *self.link.dead.borrow() {
            return std::future::pending().await;
        }
        if self.fence.as_ref().is_some_and(|fence| !fence()) {
            return Err("this replica no longer leads".into());
        }
        if *self.link.distrusted.borrow() {
            sleep(Duration::from_millis(1)).await;
            return Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer).into());
        }
        let (answer, answered) = oneshot::channel();
        tokio::spawn(self.travel(request, draws, answer, committed.take()));
        let answered = answered.await;
        if let Some(spring) = after.take() {
            spring();
            return std::future::pending().await;
        }
        match answered {
            Ok(answer) => answer,
            // Lost: the caller's patience decides.
            Err(_) => std::future::pending().await,
        }
    }

    /// The request's way to the API server and back.
    async fn travel(
        self,
        request: Request<Bytes>,
        mut draws: Draws,
        answer: oneshot::Sender<Result<Response<Answer>, BoxError>>,
        trap: Option<Box<dyn FnOnce() + Send>>,
    ) {
        let weather = *self.link.weather.borrow();
        let is_watch = is_watch(&request);
        let patches = request.method() == Method::PATCH;
        let path = request.uri().path().to_owned();
        sleep(Duration::from_millis(1 + draws.of("there", 0).skewed(8))).await;
        if draws.of("late", 0).permille(weather.late) {
            sleep(Duration::from_millis(
                draws.of("lateness", 0).within(0..weather.late_ms.max(1)),
            ))
            .await;
        }
        if draws.of("lost", 0).permille(weather.lost) {
            return;
        }
        if draws.of("refused", 0).permille(weather.refused) {
            let _ = answer.send(Ok(refusal(&mut draws)));
            return;
        }
        let response = self.front.handle(&self.link.name, request);
        if let Some(Delay(delay)) = response.extensions().get() {
            sleep(*delay).await;
        }
        if let Some(spring) = trap {
            spring();
            return;
        }
        let is_unanswered = draws.of("unanswered", 0).permille(weather.unanswered)
            || patches
                && draws
                    .of("unanswered patch", 0)
                    .permille(weather.unanswered_patches);
        if is_unanswered {
            return;
        }
        sleep(Duration::from_millis(1 + draws.of("back", 0).skewed(8))).await;
        let (parts, body) = response.into_parts();
        let body = if is_watch && parts.status.is_success() {
            stream(&self.link, path, body, draws.of("stream", 0))
        } else {
            body.map_err(Into::into).boxed_unsync()
        };
        let _ = answer.send(Ok(Response::from_parts(parts, body)));
    }
}

fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query();
    query.is_some_and(|query| query.contains("watch=true"))
}

/// What an overloaded API server or a proxy before it answers.
fn refusal(draws: &mut Draws) -> Response<Answer> {
    let status = *draws.one(&[
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]);
    let text = "Too many requests, please try again later.\n";
    let mut response = Response::new(Full::from(text).map_err(Into::into).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// A watch's frames, each some milliseconds late, in order; silent or cut while the weather says so.
fn stream<B>(link: &Arc<Link>, path: String, mut body: B, mut draws: Draws) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    let (frames, received) = mpsc::unbounded_channel();
    let mut weather = link.weather.subscribe();
    let mut dead = link.dead.subscribe();
    let mut distrusted = link.distrusted.subscribe();
    tokio::spawn(async move {
        let mut silent_since = None;
        loop {
            let now = *weather.borrow_and_update();
            if now.cut_watches {
                let _ = frames.send(Err(BoxError::from("connection reset by peer")));
                return;
            }
            silent_since = match silent_since {
                None if now.silences(&path) => Some(Instant::now()),
                // What was missed meanwhile is lost with the connection.
                since => since,
            };
            let noticed = async {
                match silent_since {
                    Some(since) => sleep_until(since + DEAD).await,
                    None => std::future::pending().await,
                }
            };
            let gone = async {
                let _ = dead.wait_for(|dead| *dead).await;
            };
            let replaced = async {
                let _ = distrusted.wait_for(|distrusted| *distrusted).await;
            };
            tokio::select! {
                biased;
                () = gone => return,
                // The API servers start anew with their other certificates.
                () = replaced => {
                    let _ = frames.send(Err(BoxError::from("connection reset by peer")));
                    return;
                }
                () = frames.closed() => return,
                () = noticed => {
                    let _ = frames.send(Err(BoxError::from("connection timed out")));
                    return;
                }
                changed = weather.changed() => if changed.is_err() { return },
                frame = body.frame(), if silent_since.is_none() => match frame {
                    Some(frame) => {
                        let frame = frame.map_err(Into::into);
                        sleep(Duration::from_millis(draws.skewed(4))).await;
                        let _ = frames.send(frame);
                    }
                    None => return,
                },
            }
        }
    });
    Received(received).boxed_unsync()
}

/// Frames that a task sends.
struct Received(mpsc::UnboundedReceiver<Result<Frame<Bytes>, BoxError>>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(context)
    }
}
