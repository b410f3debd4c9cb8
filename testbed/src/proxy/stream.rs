//! Open watches and what can be done to them. Input: the API server's stream; output: the client's. I/O: none of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::sync::mpsc;

use super::RequestHead;

/// What happens to a watch that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// A line of the proxy's own comes at once; the line's end is added.
    Insert(String),
    /// The API server's next line does not arrive; this one comes instead.
    Replace(String),
    /// The API server's next line breaks off in its middle, and the connection with it.
    CutLine,
    /// The stream ends in an orderly way, as it does at its timeout.
    End,
    /// The connection is closed in the middle of the stream.
    Reset,
    /// Nothing arrives any more, bookmarks neither; the connection stays open.
    Silence,
}

impl StreamFault {
    /// The event by which the API server says that the watch's resourceVersion is too old
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>).
    pub fn expired() -> Self {
        let event = serde_json::json!({"type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410,
        }});
        Self::Insert(event.to_string())
    }
}

struct OpenWatch {
    head: RequestHead,
    faults: mpsc::UnboundedSender<StreamFault>,
}

/// The watches that are open now.
#[derive(Clone, Default)]
pub(super) struct OpenWatches(Arc<Mutex<Vec<OpenWatch>>>);

impl OpenWatches {
    pub(super) fn disturb(&self, wanted: impl Fn(&RequestHead) -> bool, fault: &StreamFault) -> usize {
        self.open()
            .iter()
            .filter(|watch| wanted(&watch.head) && watch.faults.send(fault.clone()).is_ok())
            .count()
    }

    pub(super) fn heads(&self) -> Vec<RequestHead> {
        self.open().iter().map(|watch| watch.head.clone()).collect()
    }

    /// Passes a watch's answer on, line by line; gives the body for the client.
    pub(super) fn relay(&self, head: RequestHead, from: Incoming) -> Lines {
        let (faults, orders) = mpsc::unbounded_channel();
        self.open().push(OpenWatch { head, faults });
        // One line at a time: what the client has not read yet is not taken from the server either.
        let (to, lines) = mpsc::channel(1);
        tokio::spawn(async move {
            let relay = Relay {
                orders,
                to,
                next_line: None,
                silent: false,
            };
            relay.run(from).await;
        });
        Lines(lines)
    }

    /// The list, without watches that have ended.
    fn open(&self) -> MutexGuard<'_, Vec<OpenWatch>> {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| !watch.faults.is_closed());
        watches
    }
}

/// A piece of the stream; an error closes the connection.
type Piece = Result<Bytes, std::io::Error>;

struct Relay {
    orders: mpsc::UnboundedReceiver<StreamFault>,
    to: mpsc::Sender<Piece>,
    /// What the next line is to meet.
    next_line: Option<StreamFault>,
    silent: bool,
}

impl Relay {
    async fn run(mut self, mut from: Incoming) {
        let mut buffer = Vec::new();
        loop {
            let going_on = tokio::select! {
                biased;
                () = self.to.closed() => false,
                Some(fault) = self.orders.recv() => self.obey(fault).await,
                frame = from.frame() => match frame {
                    Some(Ok(frame)) => {
                        buffer.extend(frame.into_data().unwrap_or_default());
                        self.pass_lines(&mut buffer).await
                    }
                    Some(Err(_)) => self.fail().await,
                    // A silent connection is not closed by the server's end of it either.
                    None if self.silent => {
                        self.to.closed().await;
                        false
                    }
                    None => false,
                },
            };
            if !going_on {
                return;
            }
        }
    }

    /// Whether the stream goes on.
    async fn obey(&mut self, fault: StreamFault) -> bool {
        match fault {
            StreamFault::Insert(line) => self.send(format!("{line}\n").into()).await,
            StreamFault::Replace(_) | StreamFault::CutLine => {
                self.next_line = Some(fault);
                true
            }
            StreamFault::End => false,
            StreamFault::Reset => self.fail().await,
            StreamFault::Silence => {
                self.silent = true;
                true
            }
        }
    }

    async fn pass_lines(&mut self, buffer: &mut Vec<u8>) -> bool {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let going_on = match self.next_line.take() {
                Some(StreamFault::Replace(other)) => self.send(format!("{other}\n").into()).await,
                Some(_) => {
                    self.send(Bytes::copy_from_slice(&line[..line.len() / 2])).await && self.fail().await
                }
                None => self.send(line.into()).await,
            };
            if !going_on {
                return false;
            }
        }
        true
    }

    async fn send(&self, bytes: Bytes) -> bool {
        self.silent || self.to.send(Ok(bytes)).await.is_ok()
    }

    async fn fail(&self) -> bool {
        if self.silent {
            self.to.closed().await;
        }
        // The client may be gone, which is as good.
        let _ = self
            .to
            .send(Err(std::io::ErrorKind::ConnectionReset.into()))
            .await;
        false
    }
}

/// The body of a watch's answer.
pub(super) struct Lines(mpsc::Receiver<Piece>);

impl Lines {
    /// A body of these pieces.
    pub(super) fn of(pieces: impl IntoIterator<Item = Piece, IntoIter: ExactSizeIterator>) -> Self {
        let pieces = pieces.into_iter();
        let (to, lines) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            // There is room for every one of them.
            let _ = to.try_send(piece);
        }
        Self(lines)
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// An error that cannot be, as the error of a body that can fail.
pub(super) fn never(error: Infallible) -> std::io::Error {
    match error {}
}
