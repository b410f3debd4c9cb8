//! The two servers that scripts run against.

use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use serde_json::Value;
use simulation::server::{Front, FrontOptions, Store};
use tokio::sync::mpsc;

/// The lines of a watch.
pub type Lines = mpsc::UnboundedReceiver<Value>;

/// An API server.
pub enum Server {
    Real(Client),
    Model(Front),
}

impl Server {
    pub fn model(streams_lists: bool) -> Self {
        let start = tokio::time::Instant::now();
        let epoch = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
        let store =
            Store::new(move || epoch + jiff::SignedDuration::try_from(start.elapsed()).expect("a duration"));
        Self::Model(Front::new(&store, FrontOptions { streams_lists }))
    }

    pub async fn send(&self, request: Request<Vec<u8>>) -> (u16, Value) {
        let (code, body) = match self {
            Self::Real(client) => {
                let response = client.send(request.map(Into::into)).await.expect("an answer");
                let code = response.status().as_u16();
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                (code, body)
            }
            Self::Model(front) => {
                let response = front.handle("tester", request.map(Bytes::from));
                let code = response.status().as_u16();
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                (code, body)
            }
        };
        let text = || Value::from(String::from_utf8_lossy(&body).into_owned());
        (code, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    /// Opens a watch; its lines come until it is dropped. `Err`: what it was refused with.
    pub async fn watch(&self, request: Request<Vec<u8>>) -> Result<Lines, (u16, Value)> {
        let (sender, lines) = mpsc::unbounded_channel();
        match self {
            Self::Real(client) => {
                let response = client.send(request.map(Into::into)).await.expect("an answer");
                let code = response.status().as_u16();
                if code != 200 {
                    let body = response.into_body().collect().await.expect("a body").to_bytes();
                    return Err((code, serde_json::from_slice(&body).unwrap_or_default()));
                }
                tokio::spawn(pass_on(response.into_body(), sender));
            }
            Self::Model(front) => {
                let response = front.handle("tester", request.map(Bytes::from));
                let code = response.status().as_u16();
                if code != 200 {
                    let body = response.into_body().collect().await.expect("a body").to_bytes();
                    return Err((code, serde_json::from_slice(&body).unwrap_or_default()));
                }
                tokio::spawn(pass_on(response.into_body(), sender));
            }
        }
        Ok(lines)
    }
}

async fn pass_on<B>(body: B, sender: mpsc::UnboundedSender<Value>)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut chunks = body.into_data_stream();
    let mut pending = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let Ok(line) = serde_json::from_slice(&line) else {
                continue;
            };
            if sender.send(line).is_err() {
                return;
            }
        }
    }
}
