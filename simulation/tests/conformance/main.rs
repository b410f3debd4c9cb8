//! The model of the API server against the real one: generated scripts, the same answers.
//!
//! `CONFORMANCE_SCRIPTS` sets how many scripts are run, `CONFORMANCE_SEED` which. With
//! `CONFORMANCE_SURVEY` every script is run, and the first difference of each is printed.

#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod compare;
mod content;
mod run;
mod script;
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use testbed::ControlPlane;
use tokio::runtime::{Builder, Runtime};

use script::Step;
use server::Server;

/// Steps of a script.
const STEPS: usize = 40;

/// Both servers.
struct Pair {
    runtime: Runtime,
    plane: ControlPlane,
    streams_lists: bool,
    scripts: AtomicUsize,
}

impl Pair {
    fn start(streams_lists: bool) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let builder = ControlPlane::builder();
        let builder = if streams_lists {
            builder
        } else {
            builder.apiserver_flag("--feature-gates=WatchList=false")
        };
        let plane = runtime.block_on(builder.start()).expect("a control plane");
        Self {
            runtime,
            plane,
            streams_lists,
            scripts: AtomicUsize::new(0),
        }
    }

    /// Where the two differ.
    fn difference(&self, script: &[Step]) -> Option<String> {
        let number = self.scripts.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("script-{number}");
        let virtual_time = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let model = virtual_time.block_on(async {
            let server = Server::model(self.streams_lists);
            run::run(&server, &namespace, script, &[]).await
        });
        let lines: Vec<usize> = model.watches.iter().map(|(_, lines)| lines.len()).collect();
        let real = self.runtime.block_on(async {
            let server = Server::Real(self.plane.admin());
            run::run(&server, &namespace, script, &lines).await
        });
        compare::difference(&model, &real)
    }
}

fn from_env(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |value| value.parse().expect("a number"))
}

fn scripts_agree(streams_lists: bool, otherwise: u64) {
    let pair = Pair::start(streams_lists);
    let mut seed = [u8::from(streams_lists); 32];
    seed[..8].copy_from_slice(&from_env("CONFORMANCE_SEED", 1).to_le_bytes());
    let config = Config {
        cases: u32::try_from(from_env("CONFORMANCE_SCRIPTS", otherwise)).expect("a number of scripts"),
        max_shrink_iters: u32::try_from(from_env("CONFORMANCE_SHRINKS", 60)).expect("a number of attempts"),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner.run(&script::script(STEPS), |script| match pair.difference(&script) {
        None => Ok(()),
        Some(difference) if std::env::var_os("CONFORMANCE_SURVEY").is_some() => {
            eprintln!("{difference}\n");
            Ok(())
        }
        Some(difference) => Err(TestCaseError::fail(difference)),
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn generated_scripts_have_the_same_answers() {
    scripts_agree(true, 140);
}

#[test]
fn generated_scripts_have_the_same_answers_without_streamed_lists() {
    scripts_agree(false, 60);
}
