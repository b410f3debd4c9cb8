//! The body of an answer: complete, or the frames of a watch as they come.
//!
//! I/O: none.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// The body of an answer.
pub struct Body(Content);

enum Content {
    Full(Option<Bytes>),
    Frames(mpsc::UnboundedReceiver<Bytes>),
}

impl Body {
    pub(super) fn full(text: String) -> Self {
        Self(Content::Full(Some(text.into())))
    }

    pub(super) const fn frames(frames: mpsc::UnboundedReceiver<Bytes>) -> Self {
        Self(Content::Frames(frames))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Content::Full(text) => Poll::Ready(text.take()),
            Content::Frames(frames) => frames.poll_recv(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
