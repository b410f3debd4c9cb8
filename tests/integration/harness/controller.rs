//! Replicas of the built controller.

use std::{path::PathBuf, time::Duration};

use testbed::{Proxy, Replica, eventually, free_port, http_get};

use super::{PATIENCE, World};

/// An empty element means all namespaces: takes the builder's own flag back.
pub const EVERYWHERE: &str = "--namespaces=,";

/// The variable of `--coalesce-window`.
const WINDOW: &str = "RELOADER_COALESCE_WINDOW";

/// A controller to be started.
pub struct ControllerBuilder<'a> {
    world: &'a World,
    name: String,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    kubeconfig: Option<PathBuf>,
    proxy: Option<&'a Proxy>,
}

impl<'a> ControllerBuilder<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let args = vec![format!("--namespaces={}", world.namespace)];
        Self {
            world,
            name: "reloader-0".to_owned(),
            args,
            // Most tests make one change after the other: the default of 1 s would make each of them that much longer.
            variables: vec![(WINDOW.to_owned(), "100ms".to_owned())],
            kubeconfig: None,
            proxy: None,
        }
    }

    /// The pod's name: what it is called in the Lease and in Events.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// A flag.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Several flags.
    #[must_use]
    pub fn args<T: Into<String>>(self, args: impl IntoIterator<Item = T>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The program's own coalescing window instead of the tests' 100 ms. `--coalesce-window` overrides both.
    #[must_use]
    pub fn default_window(mut self) -> Self {
        self.variables.retain(|(name, _)| name != WINDOW);
        self
    }

    /// The user it is to the API server; the namespace's `ServiceAccount` unless set.
    #[must_use]
    pub fn kubeconfig(mut self, path: PathBuf) -> Self {
        self.kubeconfig = Some(path);
        self
    }

    /// With leader election, in the test's namespace.
    #[must_use]
    pub fn elected(self) -> Self {
        self.arg("--enable-ha")
    }

    /// Reaches the API server through this proxy.
    #[must_use]
    pub fn through(mut self, proxy: &'a Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Starts it and returns at once.
    pub async fn launch(self) -> Controller {
        let Self {
            world,
            name,
            args,
            variables,
            kubeconfig,
            proxy,
        } = self;
        let port = free_port().expect("a free port");
        let inspect_port = free_port().expect("a free port");
        let direct = match kubeconfig {
            Some(path) => path,
            None => world.kubeconfig().await,
        };
        let kubeconfig = match proxy {
            Some(proxy) => proxy.kubeconfig(&direct).expect("a kubeconfig"),
            None => direct,
        };
        let mut builder = Replica::builder(env!("CARGO_BIN_EXE_reloader"))
            .name(format!("{}-{name}", world.namespace))
            .kubeconfig(kubeconfig)
            .arg(format!("--listen-address=127.0.0.1:{port}"))
            .arg(format!("--inspect-address=127.0.0.1:{inspect_port}"))
            .args(&args)
            .env("POD_NAME", &name)
            .env("POD_NAMESPACE", &world.namespace);
        for (variable, value) in &variables {
            builder = builder.env(variable, value);
        }
        Controller {
            name,
            port,
            inspect_port,
            replica: builder.start().expect("the controller starts"),
        }
    }

    /// Starts it and waits until it is ready: everything is listed, so every change from now on is a change.
    pub async fn start(self) -> Controller {
        let controller = self.launch().await;
        controller.wait_ready().await;
        controller
    }
}

/// A running controller. Ended when dropped.
pub struct Controller {
    /// The pod's name.
    pub name: String,
    port: u16,
    /// Where it answers questions, unless a flag says otherwise.
    pub inspect_port: u16,
    /// The process.
    pub replica: Replica,
}

impl Controller {
    /// Waits until `/ready` says so.
    pub async fn wait_ready(&self) {
        let waited = eventually(
            PATIENCE,
            "the controller to be ready",
            async || -> Result<Option<()>, String> {
                let (status, body) = self.get("/ready").await.map_err(|error| error.to_string())?;
                if status == 200 { Ok(Some(())) } else { Err(body) }
            },
        );
        if let Err(error) = waited.await {
            panic!("{error}\n{}", self.replica.log());
        }
    }

    /// Waits until a line of its log holds the text.
    pub async fn wait_log(&self, text: &str) {
        let what = format!("a log line with {text:?}");
        let waited = eventually(PATIENCE, &what, async || {
            self.replica.log().contains(text).then_some(())
        });
        if let Err(error) = waited.await {
            panic!("{error}\n{}", self.replica.log());
        }
    }

    /// Waits until it has ended by itself, and returns the exit code.
    pub async fn wait_exit(&self, within: Duration) -> Option<i32> {
        self.replica
            .wait_exit(within)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.replica.log()))
            .code()
    }

    /// The sum of a metric's series whose line starts with the given text, 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let (_, body) = self.get("/metrics").await.expect("metrics");
        let values = body
            .lines()
            .filter(|line| line.starts_with(series))
            .filter_map(|line| {
                line.rsplit_once(' ')
                    .and_then(|(_, value)| value.parse::<f64>().ok())
            });
        values.sum()
    }

    /// Waits until [`Self::metric`] has that value.
    pub async fn wait_metric(&self, series: &str, value: f64) {
        let what = format!("{series} to be {value}");
        let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
            let now = self.metric(series).await;
            if (now - value).abs() < f64::EPSILON {
                Ok(Some(()))
            } else {
                Err(now.to_string())
            }
        });
        if let Err(error) = waited.await {
            panic!("{error}\n{}", self.replica.log());
        }
    }

    /// One question; status and body.
    pub async fn ask(&self, path: &str) -> std::io::Result<(u16, String)> {
        http_get(self.inspect_port, path).await
    }

    /// The answer to a question.
    pub async fn answer<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.ask(path).await.expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"))
    }

    /// One HTTP request; status and body.
    pub async fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        http_get(self.port, path).await
    }
}
