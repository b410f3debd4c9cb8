//! Connections that write only while this replica leads.
//!
//! Input: the cluster's address, [`Leadership`]. Output: a client builder. I/O: connects.
//!
//! Asking the lease before a request is not enough. The request is encrypted and written by its connection's own task,
//! some milliseconds later on a busy machine; a process that is stopped in between (SIGSTOP, a paused virtual machine)
//! would write it when it wakes, after another replica took over. So the connection's task asks before every step, and
//! the socket asks before every write. What is left is the system call itself.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use kube::{
    Config,
    client::{Body, ClientBuilder},
};
use tower::{BoxError, Service};

use super::{
    connection::{self, Sharing},
    trust::Trust,
};
use crate::lease::Leadership;

/// A client builder whose connections write only while this replica leads.
pub(super) fn builder(
    config: &Config,
    leadership: &Leadership,
    trust: &Trust,
) -> kube::Result<
    ClientBuilder<
        impl Service<
            http::Request<Body>,
            Response = http::Response<
                impl http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + use<>,
            >,
            Error = BoxError,
            Future: Send,
        > + Clone
        + Send
        + use<>,
    >,
> {
    let fence = leadership.clone();
    connection::builder(
        config,
        FencedExecutor(leadership.clone()),
        trust,
        Sharing::None,
        move |stream| Fenced {
            stream,
            leadership: fence.clone(),
        },
    )
}

/// Lets the tasks of connections run for as long as this replica leads.
#[derive(Clone)]
struct FencedExecutor(Leadership);

impl<T: Future + Send + 'static> Executor<T> for FencedExecutor {
    fn execute(&self, connection: T) {
        let leadership = self.0.clone();
        tokio::spawn(async move {
            leadership.fence(connection).await;
        });
    }
}

/// A stream that refuses to write once this replica no longer leads.
struct Fenced<S> {
    stream: S,
    leadership: Leadership,
}

impl<S> Fenced<S> {
    fn check(&self) -> io::Result<()> {
        if self.leadership.may_write() {
            Ok(())
        } else {
            Err(io::Error::other("this replica no longer leads"))
        }
    }
}

impl<S: Read + Unpin> Read for Fenced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Fenced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: Connection> Connection for Fenced<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper_util::rt::TokioIo;

    use super::*;

    #[tokio::test]
    async fn a_socket_writes_nothing_once_this_replica_does_not_lead() {
        let leadership = Leadership::always();
        let (near, _far) = tokio::io::duplex(64);
        let mut socket = Fenced {
            stream: TokioIo::new(near),
            leadership: leadership.clone(),
        };
        let mut write = async || poll_fn(|context| Pin::new(&mut socket).poll_write(context, b"patch")).await;
        assert_eq!(write().await.unwrap(), 5);
        leadership.release().await;
        assert!(write().await.is_err());
    }
}
