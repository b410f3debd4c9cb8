//! The machine that a replica runs on: starts its process, and starts another one when it ends.
//!
//! Input: settings, orders. Output: how processes ended. I/O: none outside the simulation.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reloader::{
    args::{Args, Environment},
    config::Config,
    run::RunError,
};
use tokio::time::sleep;

use crate::{
    cluster::HOME,
    draws::Draws,
    entropy::Clocks,
    link::{Call, Link, Trap, Weather},
    plan::Setting,
    replica::Replica,
    server::Front,
};

/// The names of replicas.
const NAMES: [&str; 3] = ["reloader-0", "reloader-1", "reloader-2"];

struct State {
    process: Option<Replica>,
    /// How many processes have been started.
    started: u64,
    /// How long it takes until a new process starts.
    down: Option<Duration>,
    weather: Weather,
    slow_permille: u64,
    clocks: Clocks,
    trap: Option<Trap>,
    /// Why processes ended that must not end.
    failures: Vec<String>,
    calls: Vec<Call>,
}

/// A machine.
#[derive(Clone)]
pub struct Machine {
    name: &'static str,
    config: Config,
    fronts: Vec<Front>,
    draws: Draws,
    state: Arc<Mutex<State>>,
}

impl Machine {
    /// The machine of that replica, without a process.
    ///
    /// # Errors
    /// The setting is no valid command line.
    pub fn new(number: usize, setting: &Setting, fronts: &[Front], draws: Draws) -> anyhow::Result<Self> {
        let name = NAMES[number % NAMES.len()];
        let mut arguments = vec![
            "reloader".to_owned(),
            "--enable-ha".to_owned(),
            format!("--reload-strategy={}", setting.strategy),
            format!("--coalesce-window={}ms", setting.window_ms),
        ];
        let policies = setting.policies.iter();
        arguments.extend(policies.flat_map(|policies| policies.flags.iter().cloned()));
        let environment = Environment::from_lookup(|variable| {
            let value = match variable {
                "POD_NAME" => name,
                "POD_NAMESPACE" | "RELOADER_NAMESPACE" => HOME,
                _ => return None,
            };
            Some(value.to_owned())
        });
        let config = Config::from_args(Args::from_command_line(arguments)?, environment)?;
        let fast_permille = setting.fast_permille.get(number).copied().unwrap_or_default();
        Ok(Self {
            name,
            config,
            fronts: fronts.to_vec(),
            draws,
            state: Arc::new(Mutex::new(State {
                process: None,
                started: 0,
                down: None,
                weather: Weather::default(),
                slow_permille: 0,
                clocks: Clocks {
                    fast_permille,
                    ..Clocks::default()
                },
                trap: None,
                failures: Vec::new(),
                calls: Vec::new(),
            })),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one process after the other, without end.
    pub async fn run(self) {
        loop {
            let task = self.start();
            let ended = task.await;
            let (down, started) = {
                let mut state = self.state();
                if let Some(process) = state.process.take() {
                    process.link().die();
                    let calls = process.link().calls();
                    state.calls.extend(calls);
                }
                let failure = match &ended {
                    // Killed.
                    Err(error) if error.is_cancelled() => None,
                    Err(error) => Some(error.to_string()),
                    Ok(Err(error @ (RunError::Panicked(_) | RunError::LoopEnded(_)))) => {
                        Some(error.to_string())
                    }
                    Ok(_) => None,
                };
                tracing::info!(machine = self.name, "process ended: {ended:?}");
                state.failures.extend(failure);
                (state.down.take(), state.started)
            };
            // The kubelet restarts a container that ended.
            let usual = self.draws.of("down", started).within(500..4000);
            sleep(down.unwrap_or(Duration::from_millis(usual))).await;
        }
    }

    fn start(&self) -> tokio::task::JoinHandle<Result<(), RunError>> {
        let mut state = self.state();
        state.started += 1;
        let draws = self.draws.of("process", state.started);
        let link = Link::new(self.name, &self.fronts, draws.of("link", 0));
        link.set_weather(state.weather);
        if let Some(trap) = state.trap.take() {
            link.set_trap(trap);
        }
        let (process, task) = Replica::start(
            self.name,
            self.config.clone(),
            link,
            draws.of("turns", 0),
            state.clocks,
        );
        process.set_slow(state.slow_permille);
        state.process = Some(process);
        task
    }

    /// SIGKILL; a new process starts after that time.
    pub fn kill(&self, down: Duration) {
        let mut state = self.state();
        state.down = Some(down);
        if let Some(process) = &state.process {
            process.kill();
        }
    }

    /// SIGTERM; after the end a new process starts after that time.
    pub fn terminate(&self, down: Duration) {
        let mut state = self.state();
        state.down = Some(down);
        if let Some(process) = &state.process {
            process.terminate();
        }
    }

    /// SIGSTOP and SIGCONT.
    pub fn set_stopped(&self, is_stopped: bool) {
        if let Some(process) = &self.state().process {
            if is_stopped {
                process.stop();
            } else {
                process.resume();
            }
        }
    }

    /// Suspends the machine, and returns which of its processes that stops.
    pub fn suspend(&self) -> u64 {
        self.set_stopped(true);
        self.state().started
    }

    /// Wakes the machine that has been suspended for so long. A process that was killed meanwhile leaves nothing to wake.
    pub fn wake(&self, process: u64, after_ms: u64) {
        if self.state().started == process {
            self.change_clocks(|clocks| clocks.suspended += after_ms);
        }
        self.set_stopped(false);
    }

    /// So many of a thousand turns are put off.
    pub fn set_slow(&self, permille: u64) {
        let mut state = self.state();
        state.slow_permille = permille;
        if let Some(process) = &state.process {
            process.set_slow(permille);
        }
    }

    /// Changes the clocks.
    pub fn change_clocks(&self, change: impl FnOnce(&mut Clocks)) {
        let mut state = self.state();
        change(&mut state.clocks);
        if let Some(process) = &state.process {
            process.set_clocks(state.clocks);
        }
    }

    /// Changes what goes wrong on the network.
    pub fn set_weather(&self, weather: Weather) {
        let mut state = self.state();
        state.weather = weather;
        if let Some(process) = &state.process {
            process.link().set_weather(weather);
        }
    }

    /// Its process trusts no API server any more; one that is started later does.
    pub fn distrust(&self) {
        if let Some(process) = &self.state().process {
            process.link().distrust();
        }
    }

    /// Kills the next process at one of its calls.
    pub fn set_trap(&self, trap: Trap) {
        self.state().trap = Some(trap);
    }

    /// Whether its process takes itself for the leader, at present.
    pub fn may_write(&self) -> bool {
        self.state().process.as_ref().is_some_and(Replica::may_write)
    }

    /// Why processes ended that must not end.
    pub fn failures(&self) -> Vec<String> {
        self.state().failures.clone()
    }

    /// Every call of its processes so far.
    pub fn calls(&self) -> Vec<Call> {
        let state = self.state();
        let present = state.process.as_ref().map(|process| process.link().calls());
        state
            .calls
            .iter()
            .cloned()
            .chain(present.into_iter().flatten())
            .collect()
    }

    /// The name of its replica.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}
