//! One replica of the controller, as a process that can be killed, stopped and slowed down.
//!
//! Input: settings, a link. Output: how the process ended. I/O: none outside the simulation.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use futures::{StreamExt, stream};
use reloader::{
    config::Config,
    run::{
        RunError, run_in,
        surroundings::{Cluster, Surroundings, Tasks, Turns},
    },
    telemetry::LostLines,
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::sleep,
};

use crate::{
    draws::Draws,
    entropy::{self, Clocks},
    link::{Connector, Link},
};

thread_local! {
    static RUNNING: Cell<&'static str> = const { Cell::new("") };
}

/// The name of the process whose task is being polled; empty for the world itself.
pub fn running() -> &'static str {
    RUNNING.get()
}

/// Lets the tasks of a process run, wait, or stand still.
struct Scheduler {
    name: &'static str,
    draws: Draws,
    polls: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_stopped: bool,
    /// Polls out of a thousand that are put off.
    slow_permille: u64,
    clocks: Clocks,
    waiting: Vec<Waker>,
}

impl Scheduler {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns for Scheduler {
    fn turn(&self, context: &mut Context<'_>, poll: &mut dyn FnMut(&mut Context<'_>)) {
        let (clocks, slow_permille) = {
            let mut state = self.state();
            if state.is_stopped {
                state.waiting.push(context.waker().clone());
                return;
            }
            (state.clocks, state.slow_permille)
        };
        let number = self.polls.fetch_add(1, Ordering::Relaxed);
        if slow_permille > 0 {
            let mut draws = self.draws.of("turn", number);
            if draws.permille(slow_permille) {
                let waker = context.waker().clone();
                let pause = Duration::from_millis(1 + draws.skewed(2000));
                tokio::spawn(async move {
                    sleep(pause).await;
                    waker.wake();
                });
                return;
            }
        }
        let before = RUNNING.replace(self.name);
        entropy::with_clocks(clocks, || poll(context));
        RUNNING.set(before);
    }
}

/// A process.
pub struct Replica {
    link: Arc<Link>,
    scheduler: Arc<Scheduler>,
    stops: mpsc::UnboundedSender<()>,
    task: AbortHandle,
}

impl Replica {
    /// Starts the process of that name; the handle tells how it ended.
    pub fn start(
        name: &'static str,
        config: Config,
        link: Arc<Link>,
        draws: Draws,
        clocks: Clocks,
    ) -> (Self, JoinHandle<Result<(), RunError>>) {
        let scheduler = Arc::new(Scheduler {
            name,
            draws,
            polls: AtomicU64::new(0),
            state: Mutex::new(State {
                clocks,
                ..State::default()
            }),
        });
        let (stops, stopped) = mpsc::unbounded_channel();
        let tasks = Tasks::in_turns(Arc::<Scheduler>::clone(&scheduler));
        let surroundings = Surroundings {
            cluster: Cluster::Given(Arc::new(Connector(Arc::clone(&link)))),
            tasks: tasks.clone(),
            listeners: Vec::new(),
            inspect: None,
            stops: stream::unfold(stopped, |mut stopped: mpsc::UnboundedReceiver<()>| async move {
                match stopped.recv().await {
                    Some(()) => Some(((), stopped)),
                    None => std::future::pending().await,
                }
            })
            .boxed(),
        };
        let task = tokio::spawn(tasks.task(run_in(surroundings, config, LostLines::default())));
        let replica = Self {
            link,
            scheduler,
            stops,
            task: task.abort_handle(),
        };
        (replica, task)
    }

    /// SIGKILL. Requests that were sent still arrive.
    pub fn kill(&self) {
        self.link.die();
        self.task.abort();
        // A stopped process dies, too.
        self.resume();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let _ = self.stops.send(());
    }

    /// SIGSTOP: nothing of it runs until [`Replica::resume`]. What it has sent is under way.
    pub fn stop(&self) {
        self.scheduler.state().is_stopped = true;
    }

    /// SIGCONT.
    pub fn resume(&self) {
        let waiting = {
            let mut state = self.scheduler.state();
            state.is_stopped = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// So many of a thousand turns of its tasks are put off, by up to two seconds.
    pub fn set_slow(&self, permille: u64) {
        self.scheduler.state().slow_permille = permille;
    }

    /// From now on its clocks are these.
    pub fn set_clocks(&self, clocks: Clocks) {
        self.scheduler.state().clocks = clocks;
    }

    /// Whether the process takes itself for the leader, by its own clocks.
    pub fn may_write(&self) -> bool {
        let clocks = self.scheduler.state().clocks;
        entropy::with_clocks(clocks, || self.link.may_write())
    }

    /// Its connections.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}
