//! How long the API server may take to answer: a limit on silence, not on the whole answer.
//!
//! Input: requests of watches and lists. Output: their answers, or an error. I/O: none of its own.
//!
//! The API server sends the head of a watch's answer as soon as the watch is open, whether or not there is something to
//! show. If that answer gets lost, the watch looks quiet: without a limit, this replica would not notice a change until
//! the connection's own limit, which is above the timeout of watches. Once its head is there, a watch may be quiet; kube's
//! watcher ends one that outlasts its timeout.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{BoxError, Service};

use super::opening::Opening;

/// How long the head of a watch's answer may take. A busy API server lets requests wait in its queue for about as long.
const WATCH: Duration = Duration::from_secs(15);
/// How long the head of any other answer may take, and the next part of its body. The API server itself gives up after a
/// minute.
const LIST: Duration = Duration::from_mins(1);

/// Gives up on requests without an answer.
#[derive(Clone, Debug)]
pub(super) struct Patience<S> {
    inner: S,
    list: Duration,
}

impl<S> Patience<S> {
    /// `silence` is another limit for what is no watch; the lower one counts.
    pub(super) fn new(inner: S, silence: Duration) -> Self {
        let list = silence.min(LIST);
        Self { inner, list }
    }
}

impl<S, B, R> Service<Request<B>> for Patience<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = Response<Patient<R>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = if Opening::of(request.uri()).is_some() {
            (WATCH, None)
        } else {
            (self.list, Some(self.list))
        };
        let answer = self.inner.call(request);
        async move {
            match timeout(head, answer).await {
                Ok(answer) => Ok(answer.map_err(Into::into)?.map(|inner| Patient::new(inner, body))),
                Err(_) => Err(silent(head).into()),
            }
        }
        .boxed()
    }
}

/// A body that fails when nothing of it comes for too long.
pub(super) struct Patient<B> {
    inner: Pin<Box<B>>,
    limit: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<B> Patient<B> {
    fn new(inner: B, silence: Option<Duration>) -> Self {
        Self {
            inner: Box::pin(inner),
            limit: silence.map(|silence| (silence, Box::pin(sleep(silence)))),
        }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for Patient<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let Self { inner, limit } = &mut *self;
        let frame = inner.as_mut().poll_frame(context).map_err(Into::into);
        let Some((silence, sleep)) = limit else {
            return frame;
        };
        if frame.is_ready() {
            sleep.as_mut().reset(Instant::now() + *silence);
            return frame;
        }
        sleep
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(silent(*silence).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn silent(limit: Duration) -> io::Error {
    let text = format!("the API server sent nothing for {} s", limit.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use rstest::rstest;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const WATCH_PODS: &str = "/api/v1/pods?watch=true&resourceVersion=1";
    const PODS: &str = "/api/v1/pods?limit=50";
    const LONG: Duration = Duration::from_mins(10);

    /// What is answered: its head comes after some time, then two parts of its body, each after some time.
    fn server(
        head: Duration,
        part: Duration,
    ) -> impl Service<
        Request<()>,
        Response = Response<impl Body<Data = Bytes, Error = io::Error>>,
        Error = io::Error,
        Future: Send,
    > {
        service_fn(move |_| async move {
            sleep(head).await;
            let parts = stream::unfold(0, move |sent| async move {
                sleep(part).await;
                (sent < 2).then(|| (Ok(Frame::data(Bytes::from_static(b"part"))), sent + 1))
            });
            Ok(Response::new(StreamBody::new(parts)))
        })
    }

    #[rstest]
    #[case::watch_answered_in_time(WATCH_PODS, WATCH / 2, Duration::ZERO, true)]
    #[case::answer_to_watch_lost(WATCH_PODS, LONG, Duration::ZERO, false)]
    #[case::quiet_watch(WATCH_PODS, Duration::ZERO, LONG, true)]
    #[case::slow_list(PODS, LIST / 2, LIST / 2, true)]
    #[case::answer_to_list_lost(PODS, LONG, Duration::ZERO, false)]
    #[case::list_falls_silent(PODS, Duration::ZERO, LONG, false)]
    #[tokio::test(start_paused = true)]
    async fn silence_is_limited(
        #[case] uri: &str,
        #[case] head: Duration,
        #[case] part: Duration,
        #[case] is_complete: bool,
    ) {
        let client = Patience::new(server(head, part), LONG);
        let answer = client.oneshot(Request::get(uri).body(()).unwrap()).await;
        let body = match answer {
            Ok(answer) => answer.into_body().collect().await,
            Err(error) => Err(error),
        };
        match body {
            Ok(body) => assert!(is_complete && body.to_bytes() == "partpart"),
            Err(error) => assert!(
                !is_complete && error.to_string().contains("sent nothing for"),
                "{error}"
            ),
        }
    }

    const STEP: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_lower_limit_on_silence_counts_for_lists() {
        let client = Patience::new(server(2 * STEP, Duration::ZERO), STEP);
        assert!(
            client
                .oneshot(Request::get(PODS).body(()).unwrap())
                .await
                .is_err()
        );
    }
}
