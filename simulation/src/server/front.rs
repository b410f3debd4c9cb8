//! One API server: answers requests, from the store or from caches that may lag behind it.
//!
//! Input: requests. Output: responses. I/O: reads and changes the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    body::Body,
    kind::Kind,
    path::Target,
    read::{Page, Scope},
    refusal::Refusal,
    store::Store,
    streaming,
    write,
};

/// How long caches take to be filled after a start.
const INITIALIZING: Duration = Duration::from_millis(700);

/// What an API server can do.
#[derive(Clone, Copy, Debug)]
pub struct FrontOptions {
    /// It sends a list as a stream (`sendInitialEvents`).
    pub streams_lists: bool,
}

struct State {
    lags: HashMap<&'static str, Duration>,
    /// How far each cache was seen: it never goes back.
    seen: HashMap<&'static str, u64>,
    initialized_at: Option<Instant>,
}

struct Inner {
    store: Store,
    options: FrontOptions,
    state: Mutex<State>,
    /// Starts so far, and changes of lags.
    changes: watch::Sender<(u64, u64)>,
}

/// One API server; clones are the same one.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

impl Front {
    /// An API server over that store, with full caches.
    pub fn new(store: &Store, options: FrontOptions) -> Self {
        Self(Arc::new(Inner {
            store: store.clone(),
            options,
            state: Mutex::new(State {
                lags: HashMap::new(),
                seen: HashMap::new(),
                initialized_at: None,
            }),
            changes: watch::Sender::new((0, 0)),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn changes(&self) -> watch::Receiver<(u64, u64)> {
        self.0.changes.subscribe()
    }

    /// From now on the cache of that kind is behind the store by so much.
    pub fn set_lag(&self, plural: &str, lag: Duration) {
        self.state().lags.insert(Kind::of(plural).plural, lag);
        self.0.changes.send_modify(|(_, lags)| *lags += 1);
    }

    /// Ends its watches. Its caches are empty for a moment.
    pub fn restart(&self) {
        self.state().initialized_at = Some(Instant::now() + INITIALIZING);
        self.0.changes.send_modify(|(starts, _)| *starts += 1);
    }

    /// How far the cache of a kind is, and when it shows the next change.
    pub(super) fn cached(&self, kind: &'static Kind) -> (u64, Option<Instant>) {
        let mut state = self.state();
        let lag = state.lags.get(kind.plural).copied().unwrap_or_default();
        let now = Instant::now();
        let shown = self.0.store.revision_at(now.checked_sub(lag).unwrap_or(now));
        let seen = state.seen.entry(kind.plural).or_default();
        *seen = shown.max(*seen);
        (*seen, self.0.store.time_after(*seen).map(|at| at + lag))
    }

    /// Answers one request. What it changes is changed when this returns.
    pub fn handle(&self, caller: &str, request: Request<Bytes>) -> Response<Body> {
        self.answer(caller, request).unwrap_or_else(|refusal| refused(&refusal))
    }

    fn answer(&self, caller: &str, request: Request<Bytes>) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        let target = Target::of(&parts.uri).ok_or_else(Refusal::no_such_path)?;
        let verb = verb(&parts.method, &target);
        let store = &self.0.store;
        if caller.starts_with("reloader") && store.is_forbidden(verb, target.kind.plural) {
            return Err(forbidden(&target, verb));
        }
        let text = |name: header::HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let manager = match target.parameter("fieldManager") {
            "" => text(header::USER_AGENT).split('/').next().filter(|agent| !agent.is_empty()).unwrap_or(caller).to_owned(),
            manager => manager.to_owned(),
        };
        let write = write::Request {
            store,
            caller,
            manager: &manager,
            target: &target,
        };
        let json = || -> Result<Value, Refusal> {
            if body.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&body).map_err(|error| Refusal::bad_request(error.to_string()))
        };
        let name = target.name.as_deref();
        let done = match (verb, name) {
            ("get", Some(name)) => {
                let namespace = target.namespace.as_deref().unwrap_or_default();
                let found = store.object(target.kind.plural, namespace, name);
                let object = found.ok_or_else(|| Refusal::not_found(target.kind, name))?;
                write::Done { code: 200, object }
            }
            ("list", None) => write::Done {
                code: 200,
                object: Arc::new(self.list(&target)?),
            },
            ("watch", None) => return self.watch(&target),
            ("create", None) => write.create(json()?)?,
            ("update", Some(name)) => write.replace(name, json()?)?,
            ("patch", Some(name)) => {
                let content_type = text(header::CONTENT_TYPE);
                write.patch(name, &content_type, &json()?)?
            }
            ("delete", Some(name)) => write.delete(name, &json()?)?,
            #[expect(clippy::panic, reason = "what the model does not know must not pass for an answer")]
            _ => panic!("the model knows no {} {}", parts.method, parts.uri),
        };
        Ok(answered(done.code, &done.object))
    }

    fn check_initialized(&self) -> Result<(), Refusal> {
        let is_empty = self.state().initialized_at.is_some_and(|at| at > Instant::now());
        if is_empty { Err(Refusal::initializing()) } else { Ok(()) }
    }

    fn list(&self, target: &Target) -> Result<Value, Refusal> {
        let (scope, page) = (Scope::of(target)?, Page::of(target)?);
        let store = &self.0.store;
        let revision = match (page.revision, target.parameter("resourceVersion")) {
            (Some(revision), _) if revision < store.compacted() => {
                return Err(Refusal::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new \
                     list without the continue parameter, or use the continue token in this response to retrieve the \
                     remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
                     that were created, modified, or deleted between the time the first chunk was returned and now may show \
                     up in the list.",
                ));
            }
            (Some(revision), _) => revision,
            (None, "0") => {
                self.check_initialized()?;
                self.cached(scope.kind).0
            }
            (None, "") => store.revision(),
            (None, asked) => {
                let asked = asked.parse().unwrap_or_default();
                if asked > store.revision() {
                    return Err(Refusal::too_large_version(asked, store.revision()));
                }
                store.revision()
            }
        };
        let state = store.state_at(scope.kind.plural, revision);
        Ok(scope.page(state, revision, &page))
    }

    fn watch(&self, target: &Target) -> Result<Response<Body>, Refusal> {
        self.check_initialized()?;
        let wants_initial_events = target.parameter("sendInitialEvents") == "true";
        if wants_initial_events && !self.0.options.streams_lists {
            let cause = (
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
                "sendInitialEvents",
            );
            return Err(Refusal::invalid(target.kind, "", cause));
        }
        let mut response = Response::new(streaming::watch(self, target, Scope::of(target)?));
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

fn verb(method: &Method, target: &Target) -> &'static str {
    match (method.as_str(), target.name.is_some()) {
        ("GET", true) => "get",
        ("GET", false) if target.is_watch() => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        _ => "unknown",
    }
}

fn forbidden(target: &Target, verb: &str) -> Refusal {
    let place = match &target.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let why = format!(
        "User \"system:serviceaccount:reloader:reloader\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
        target.kind.plural, target.kind.group
    );
    Refusal::forbidden(target.kind, target.name.as_deref().unwrap_or_default(), &why)
}

fn answered(code: u16, object: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(object.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let text = match &refusal.body {
        Value::String(text) => text.clone(),
        status => status.to_string(),
    };
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = StatusCode::from_u16(refusal.code).unwrap_or_default();
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    if !refusal.body.is_string() {
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    }
    response
}
