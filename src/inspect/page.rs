//! The page: one file each of HTML, style and script, which are in the binary and ask for nothing but this endpoint's JSON.
//!
//! Input: none. Output: the files. I/O: none.

use axum::{Router, response::IntoResponse, routing::get};
use http::header;

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

pub(super) fn routes() -> Router {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", HTML)))
        .route("/style.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route(
            "/script.js",
            get(async || file("text/javascript; charset=utf-8", SCRIPT)),
        )
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}
