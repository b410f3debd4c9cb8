//! The body of an answer: complete, or the lines of a watch.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, stream::BoxStream};
use http_body::Frame;

/// The body of an answer.
pub enum Body {
    /// All of it at once; empty once it was taken.
    Full(Option<Bytes>),
    /// The lines of a watch, as they become known.
    Lines(BoxStream<'static, Bytes>),
}

impl Body {
    /// All of it at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => formatter.debug_tuple("Full").field(bytes).finish(),
            Self::Lines(_) => formatter.write_str("Lines(..)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take()),
            Self::Lines(lines) => Pin::new(lines).poll_next(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }
}
