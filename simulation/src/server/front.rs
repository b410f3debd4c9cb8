//! One API server over the store.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Method, Request, Response,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
    request::Parts,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    body::Body,
    cache::Cache,
    kind::Kind,
    list::{self, Form},
    path::{self, Address, Target},
    query::{self, Query},
    refusal::Refusal,
    store::Store,
    update::PatchType,
    watch::Watch,
    write::{Answer, Writer, unknown},
};

/// What a server can do.
#[derive(Clone, Copy, Debug)]
pub struct FrontOptions {
    /// Whether watches may begin with a list (`sendInitialEvents`).
    pub streams_lists: bool,
}

/// How long the real server would have taken for an answer that the model gives at once: an extension of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay(pub Duration);

/// How long a request waits for a cache that is not new enough.
pub(super) const FRESH_WITHIN: Duration = Duration::from_secs(3);

/// One API server over the store, with a watch cache of its own. Clones share it.
#[derive(Clone, Debug)]
pub struct Front {
    pub(super) store: Store,
    options: FrontOptions,
    cache: Arc<Mutex<Cache>>,
    /// Counts what watches must look at: a restart, another lag.
    changed: watch::Sender<u64>,
    restarts: watch::Sender<u64>,
}

impl Front {
    /// A server whose caches are filled.
    pub fn new(store: &Store, options: FrontOptions) -> Self {
        Self {
            store: store.clone(),
            options,
            cache: Arc::new(Mutex::new(Cache::new(store.revision()))),
            changed: watch::Sender::new(0),
            restarts: watch::Sender::new(0),
        }
    }

    /// How far the cache of a kind is behind the store: what is written at t is in it at t + `lag`. What it has shown stays.
    ///
    /// # Panics
    /// The model knows no such kind.
    pub fn set_lag(&self, plural: &str, lag: Duration) {
        self.cache().set_lag(&self.store.state(), Kind::of(plural), lag);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Ends its watches and fills the caches anew, which takes a second: until then what needs them is answered with 429.
    pub fn restart(&self) {
        self.cache().restart();
        self.restarts.send_modify(|count| *count += 1);
    }

    /// Answers one request. What it writes is committed when this is called. A watch's body goes on as the cache does.
    ///
    /// # Panics
    /// The model knows no such request.
    pub fn handle(&self, caller: &str, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let address = match path::parse(parts.uri.path()) {
            Target::Objects(address) if self.store.state().serves(address.kind) => address,
            Target::Discovery(api_version) => return self.discover(&api_version),
            Target::Objects(_) | Target::Unknown => return refused(&Refusal::no_such_path()),
        };
        match self.answer(caller, &parts, &body, &address) {
            Ok(response) => response,
            Err(refusal) => refused(&refusal),
        }
    }

    fn answer(
        &self,
        caller: &str,
        parts: &Parts,
        body: &Bytes,
        address: &Address,
    ) -> Result<Response<Body>, Refusal> {
        let header = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let form = Form::accepted(header(ACCEPT));
        let parameters = query::parameters(parts.uri.query().unwrap_or_default());
        let authorize = |verb: &str| self.store.state().authorize(caller, verb, address);
        if parts.method == Method::GET && address.name.is_empty() {
            let query = Query::parse(address.kind, &parameters, self.options.streams_lists);
            let is_watch = parameters
                .get("watch")
                .is_some_and(|watch| matches!(&**watch, "true" | "1"));
            authorize(if is_watch { "watch" } else { "list" })?;
            let query = query?;
            if query.watch {
                let watch = Watch::open(self, address, query, form)?;
                return Ok(respond(200, Body::Lines(watch.lines())));
            }
            let answer = list::list(&self.store.state(), &mut self.cache(), address, &query, form);
            return answer.map(|(code, body)| json_response(code, &body));
        }
        if parts.method == Method::GET {
            authorize("get")?;
            let version = parameters
                .get("resourceVersion")
                .filter(|version| !version.is_empty());
            let version = version.map(|version| query::version(version)).transpose()?;
            let answer = list::get(&self.store.state(), &mut self.cache(), address, version);
            return answer.map(|(code, body)| json_response(code, &form.write(&body)));
        }
        let manager = match parameters.get("fieldManager").map(String::as_str) {
            None | Some("") => header(USER_AGENT).split('/').next().unwrap_or_default(),
            Some(manager) => manager,
        };
        let dry_run = parameters.get("dryRun").is_some_and(|dry_run| dry_run == "All");
        let sent = read(body)?;
        let is_dry = dry_run
            || sent["dryRun"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one == "All"));
        let writer = |now| Writer {
            caller: caller.to_owned(),
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            dry_run: if parts.method == Method::DELETE {
                is_dry
            } else {
                dry_run
            },
            now,
        };
        let verb = match parts.method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => unknown(&format!("method {}", parts.method)),
        };
        authorize(verb)?;
        let patch_type = if verb == "patch" {
            Some(patch_type(address.kind, header(CONTENT_TYPE))?)
        } else {
            None
        };
        let answer: Answer = self.store.write(|state, now| match (verb, patch_type) {
            ("create", _) if address.name.is_empty() => state.create(address, sent, &writer(now), "create"),
            ("update", _) if !address.name.is_empty() => state.replace(address, sent, &writer(now)),
            ("patch", Some(of)) if !address.name.is_empty() => state.patch(address, &sent, of, &writer(now)),
            ("delete", _) if !address.name.is_empty() => state.delete(address, &sent, &writer(now)),
            (verb, _) => unknown(&format!("{verb} of {}", parts.uri.path())),
        });
        answer.map(|(code, body)| json_response(code, &body))
    }

    fn discover(&self, api_version: &str) -> Response<Body> {
        let state = self.store.state();
        let kinds = state.served(api_version);
        if kinds.is_empty() {
            return refused(&Refusal::no_such_path());
        }
        let all = ["create", "delete", "get", "list", "patch", "update", "watch"];
        let some = ["get", "patch", "update"];
        let resources = kinds.into_iter().flat_map(|kind| {
            let resource = move |name: String, verbs: &[&str]| {
                json!({
                    "name": name,
                    "singularName": kind.kind.to_lowercase(),
                    "namespaced": kind.namespaced,
                    "kind": kind.kind,
                    "verbs": verbs,
                })
            };
            let status = kind
                .status
                .then(|| resource(format!("{}/status", kind.plural), &some));
            std::iter::once(resource(kind.plural.to_owned(), &all)).chain(status)
        });
        let list = json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": api_version,
            "resources": resources.collect::<Vec<_>>(),
        });
        json_response(200, &list)
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn restarts(&self) -> watch::Receiver<u64> {
        self.restarts.subscribe()
    }
}

fn read(body: &Bytes) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("error decoding the body of the request: {error}")))
}

fn patch_type(kind: &Kind, content_type: &str) -> Result<PatchType, Refusal> {
    match content_type {
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" if !kind.custom => Ok(PatchType::Strategic),
        "application/json-patch+json" | "application/apply-patch+yaml" => {
            unknown(&format!("patch {content_type}"))
        }
        other => Err(Refusal::unsupported_patch(kind, other)),
    }
}

fn json_response(code: u16, body: &Value) -> Response<Body> {
    respond(code, Body::full(body.to_string()))
}

fn respond(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status(code);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let body = match &refusal.body {
        Value::String(text) => text.clone(),
        status => status.to_string(),
    };
    let mut response = respond(refusal.code, Body::full(body));
    if refusal.body.is_string() {
        let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
    }
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if refusal.code == 504 {
        response.extensions_mut().insert(Delay(FRESH_WITHIN));
    }
    response
}

fn status(code: u16) -> http::StatusCode {
    http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
}
