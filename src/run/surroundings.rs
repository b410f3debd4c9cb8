//! What a replica takes from its surroundings: connections to the API servers, turns for its tasks, the order to stop.
//!
//! Input: the process, or a simulation of one. Output: [`Surroundings`]. I/O: none of its own.
//!
//! In production all of it comes from the process: sockets, tokio, signals. The simulation gives each of its replicas
//! others, so that whole replicas run in virtual time beside each other and can be killed or stopped at any point.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::Body;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tower::{BoxError, util::BoxCloneService};

use super::error::RunError;
use crate::{admin, config::Config, inspect};

/// Whether this replica may write, asked at the moment of sending.
pub type Fence = Arc<dyn Fn() -> bool + Send + Sync>;

/// The body of an API server's answer.
pub type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// Sends a request to an API server.
pub type Transport = BoxCloneService<http::Request<Body>, http::Response<Answer>, BoxError>;

/// Makes the connections of a replica's API clients.
pub trait Connect: Send + Sync {
    /// One client's connection. With a `fence` nothing may be sent while that says no.
    fn connect(&self, fence: Option<Fence>) -> Transport;
}

/// Gives the tasks of a replica their turns.
pub trait Turns: Send + Sync {
    /// Is called where a task would be polled; `poll` polls it. One that lets a task wait must wake `context` later.
    fn turn(&self, context: &mut Context<'_>, poll: &mut dyn FnMut(&mut Context<'_>));
}

/// Where tasks get their turns from: tokio alone, or one that stands between tokio and them.
#[derive(Clone, Default)]
pub struct Tasks(Option<Arc<dyn Turns>>);

impl Tasks {
    /// Tasks that are polled only in `turns`.
    pub fn in_turns(turns: Arc<dyn Turns>) -> Self {
        Self(Some(turns))
    }

    /// The task, as it is to be spawned.
    pub fn task<F: Future>(&self, future: F) -> Task<F> {
        Task {
            turns: self.0.clone(),
            future: Box::pin(future),
        }
    }
}

/// A task that is polled in its turns.
pub struct Task<F> {
    turns: Option<Arc<dyn Turns>>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { turns, future } = &mut *self;
        let Some(turns) = turns else {
            return future.as_mut().poll(context);
        };
        let mut outcome = Poll::Pending;
        turns.turn(context, &mut |context| outcome = future.as_mut().poll(context));
        outcome
    }
}

/// How a replica reaches the API servers.
#[derive(Clone)]
pub enum Cluster {
    /// The cluster of the kubeconfig or of the pod's ServiceAccount.
    Inferred,
    /// Connections made by others.
    Given(Arc<dyn Connect>),
}

/// What a replica takes from its surroundings.
pub struct Surroundings {
    /// How it reaches the API servers.
    pub cluster: Cluster,
    /// Where its tasks get their turns from.
    pub tasks: Tasks,
    /// Where it serves health and metrics; nowhere, if empty.
    pub listeners: Vec<TcpListener>,
    /// Where it answers questions; nowhere, if none.
    pub inspect: Option<TcpListener>,
    /// Orders to stop; the second one ends it at once.
    pub stops: BoxStream<'static, ()>,
}

impl Surroundings {
    /// Those of this process: binds the ports and takes SIGTERM and SIGINT as orders to stop. Fails if a port is taken.
    pub(super) async fn of_process(config: &Config) -> Result<Self, RunError> {
        let stops = stops()?;
        let mut listeners = vec![admin::bind(&config.listen_address, "--listen-address").await?];
        if let Some(address) = &config.health_address {
            listeners.push(admin::bind(address, "--health-addr").await?);
        }
        let inspect = match config.inspect_address {
            Some(address) => inspect::bind(address).await,
            None => None,
        };
        Ok(Self {
            cluster: Cluster::Inferred,
            tasks: Tasks::default(),
            listeners,
            inspect,
            stops,
        })
    }
}

/// SIGTERM and SIGINT.
#[cfg(unix)]
fn stops() -> Result<BoxStream<'static, ()>, RunError> {
    let on = |kind| signal(kind).map_err(RunError::Signals);
    let signals = [on(SignalKind::terminate())?, on(SignalKind::interrupt())?];
    let received = |mut signal: Signal| async move {
        signal.recv().await;
        Some(((), signal))
    };
    Ok(stream::select_all(signals.map(|signal| stream::unfold(signal, received).boxed())).boxed())
}

/// Ctrl-C.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "on Unix it can fail")]
fn stops() -> Result<BoxStream<'static, ()>, RunError> {
    let received = |()| async { tokio::signal::ctrl_c().await.ok().map(|()| ((), ())) };
    Ok(stream::unfold((), received).boxed())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Lets a task wait until it was asked so many times.
    struct After(std::sync::atomic::AtomicUsize);

    impl Turns for After {
        fn turn(&self, context: &mut Context<'_>, poll: &mut dyn FnMut(&mut Context<'_>)) {
            if self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
                poll(context);
            }
        }
    }

    #[test]
    fn a_task_runs_in_its_turns_only() {
        let tasks = Tasks::in_turns(Arc::new(After(3.into())));
        let mut task = tasks.task(std::future::ready("done"));
        assert_eq!((&mut task).now_or_never(), None);
        assert_eq!((&mut task).now_or_never(), None);
        assert_eq!(task.now_or_never(), Some("done"));
        assert_eq!(
            Tasks::default().task(std::future::ready("done")).now_or_never(),
            Some("done")
        );
    }
}
