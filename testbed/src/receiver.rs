//! An HTTP server that takes what the program under test posts, and answers as it is told.
//!
//! Input: what to answer to each request. Output: the requests. I/O: listens on 127.0.0.1.
//!
//! It is also a proxy for plain HTTP: such a request looks like any other, but for the whole URL in its first line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// A running receiver; it ends when it is dropped.
pub struct Receiver {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    listening: JoinHandle<()>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Request line and headers as sent, lines separated by `\n`.
    pub head: String,
    /// The body.
    pub body: String,
}

/// What a request gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status line, header lines and body.
    Full {
        /// Code and name: `200 OK`.
        status: &'static str,
        /// Each ended by `\r\n`.
        headers: &'static str,
        /// The body.
        body: String,
    },
    /// None, with the connection left open.
    Never,
}

impl Answer {
    /// An empty answer with this status (`500 Internal Server Error`).
    pub fn status(status: &'static str) -> Self {
        Self::full(status, "", "")
    }

    /// An answer with this status, these header lines, each ended by `\r\n`, and this body.
    pub fn full(status: &'static str, headers: &'static str, body: impl Into<String>) -> Self {
        Self::Full {
            status,
            headers,
            body: body.into(),
        }
    }
}

impl Receiver {
    /// Starts one that answers its n-th request, counted from 0, as `answer` says.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Result<Self> {
        let failed = |source| Error::Io {
            what: "listen on 127.0.0.1".to_owned(),
            source,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (keep, answer) = (Arc::clone(&received), Arc::new(answer));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keep, answer) = (Arc::clone(&keep), Arc::clone(&answer));
                // A client that breaks off is a client's right; what it asked for is kept if it was whole.
                tokio::spawn(async move { drop(serve(stream, &keep, &*answer).await) });
            }
        });
        Ok(Self {
            address,
            received,
            listening,
        })
    }

    /// Its URL with this path (`/hook`).
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// The bodies of the requests so far.
    pub fn bodies(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.body).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn lock(received: &Mutex<Vec<Received>>) -> MutexGuard<'_, Vec<Received>> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one request and answers it; the connection ends with it.
async fn serve(
    mut stream: TcpStream,
    received: &Mutex<Vec<Received>>,
    answer: impl Fn(usize) -> Answer,
) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    let number = {
        let mut received = lock(received);
        received.push(request);
        received.len() - 1
    };
    match answer(number) {
        Answer::Full {
            status,
            headers,
            body,
        } => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await
        }
        // Until the client gives up.
        Answer::Never => stream.read(&mut [0]).await.map(drop),
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Received> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok()).flatten()
        });
        if body.len() >= length.unwrap_or(0) {
            return Ok(Received {
                head: head.replace("\r\n", "\n"),
                body: body.to_owned(),
            });
        }
    }
}
