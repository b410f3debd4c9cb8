//! Paths and parameters.
//!
//! Input: requests. Output: JSON, the page, or why not. I/O: none.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    middleware::from_fn,
    routing::get,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tower::limit::GlobalConcurrencyLimitLayer;

use super::{
    about::Inspector,
    body::{Json, Refused, problem},
    guard::guard,
    page,
};
use crate::{
    explain::{source_kind, workload_kind},
    model::{SourceKey, SourceKind, WorkloadKey},
};

/// Answers that are made at the same time; further ones wait. Each holds up a thread of the runtime at most for a moment,
/// which all together must not.
const AT_A_TIME: usize = 4;
/// Rows of a page unless asked otherwise, and at most.
const ROWS: usize = 50;
const MAX_ROWS: usize = 200;
/// Longest text that is searched for, in bytes.
const MAX_QUERY: usize = 256;

type Shared = State<Arc<Inspector>>;
/// An answer, or why there is none.
type Answered<T> = Result<Json<T>, Refused>;

pub(super) fn routes(inspector: Arc<Inspector>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/owed", get(owed))
        .route("/v1/restarts", get(restarts))
        .route("/v1/search", get(search))
        .route("/v1/sources", get(sources))
        .route("/v1/sources/{kind}/{namespace}/{name}", get(source))
        .route("/v1/workloads/{kind}/{namespace}/{name}", get(workload))
        .with_state(inspector)
        .merge(page::routes())
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is no such path; see / for a page"))
        .method_not_allowed_fallback(async || {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "nothing can be changed here: only GET and HEAD are answered",
            )
        })
        .layer(GlobalConcurrencyLimitLayer::new(AT_A_TIME))
        .layer(from_fn(guard))
}

async fn status(State(inspector): Shared) -> Answered<impl Serialize> {
    Ok(Json(inspector.status(ROWS).await))
}

/// Which rows of a long answer.
#[derive(Debug, Deserialize)]
struct Rows {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
    /// Only those of that namespace.
    namespace: Option<String>,
}

async fn owed(State(inspector): Shared, Query(rows): Query<Rows>) -> Answered<impl Serialize> {
    let limit = rows.limit.unwrap_or(ROWS).clamp(1, MAX_ROWS);
    let namespace = rows.namespace.as_deref();
    Ok(Json(inspector.owed(rows.offset, limit, namespace).await))
}

async fn restarts(State(inspector): Shared) -> Answered<impl Serialize> {
    Ok(Json(inspector.restarts()))
}

/// What to search for.
#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(State(inspector): Shared, Query(search): Query<Search>) -> Answered<impl Serialize> {
    if search.q.len() > MAX_QUERY {
        return Err(problem(
            StatusCode::BAD_REQUEST,
            "the text is too long to be a name",
        ));
    }
    Ok(Json(inspector.search(&search.q).await))
}

async fn sources(State(inspector): Shared) -> Answered<impl Serialize> {
    Ok(Json(inspector.most_used().await))
}

/// An object, as a path names it.
type Named = Path<(String, String, String)>;

async fn source(State(inspector): Shared, Path((kind, namespace, name)): Named) -> Answered<impl Serialize> {
    let Some(kind) = source_kind(&kind) else {
        let kinds = SourceKind::ALL.map(SourceKind::as_str).join(", ");
        return Err(problem(
            StatusCode::NOT_FOUND,
            &format!("{kind:?} is no kind of source; these are: {kinds}"),
        ));
    };
    let key = SourceKey::new(kind, namespace, name);
    Ok(Json(inspector.simulate(&key).await))
}

async fn workload(
    State(inspector): Shared,
    Path((kind, namespace, name)): Named,
) -> Answered<impl Serialize> {
    let Some(kind) = workload_kind(&kind, inspector.kinds()) else {
        let kinds: Vec<_> = inspector.kinds().iter().map(|kind| kind.as_str()).collect();
        return Err(problem(
            StatusCode::NOT_FOUND,
            &format!(
                "{kind:?} is no kind that is restarted here; these are: {}",
                kinds.join(", ")
            ),
        ));
    };
    let key = WorkloadKey::new(kind, namespace, name);
    match inspector.explain(&key).await {
        Some(explanation) => Ok(Json(explanation)),
        None => Err(problem(StatusCode::NOT_FOUND, &inspector.unknown(&key))),
    }
}
