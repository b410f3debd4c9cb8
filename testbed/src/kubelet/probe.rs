//! A container's probes (<https://kubernetes.io/docs/concepts/workloads/pods/probes/>). Input: a container, its pod; output: its
//! health. I/O: sends HTTP requests into the pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::sandbox::Sandbox;
use crate::error::{Error, Result};
use crate::http::exchange;

/// Where a container stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// It has started: the startup probe has succeeded, if there is one.
    pub started: bool,
    /// It may be sent requests.
    pub ready: bool,
}

/// One probe with its defaults filled in.
struct Check {
    path: String,
    port: u16,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: i32,
    failures: i32,
}

impl Check {
    fn new(container: &Container, probe: &Probe) -> Result<Self> {
        let get = probe.http_get.as_ref();
        let get = get.ok_or_else(|| Error::unsupported("a probe without httpGet"))?;
        let port = port_of(container, &get.port);
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value
                    .and_then(|value| u64::try_from(value).ok())
                    .unwrap_or(default),
            )
        };
        Ok(Self {
            path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
            port: port.ok_or_else(|| Error::unsupported(format!("a probe of port {:?}", get.port)))?,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: probe.success_threshold.unwrap_or(1),
            failures: probe.failure_threshold.unwrap_or(3),
        })
    }

    /// Asks once a period until the answer was the wanted one as often in a row as it must be.
    async fn until(&self, wanted: bool, sandbox: &Sandbox) {
        let threshold = if wanted { self.successes } else { self.failures };
        let mut in_a_row = 0;
        loop {
            let asked = timeout(self.timeout, get(sandbox, self.port, &self.path)).await;
            let passed = matches!(asked, Ok(Ok((200..400, _))));
            in_a_row = if passed == wanted { in_a_row + 1 } else { 0 };
            if in_a_row >= threshold {
                return;
            }
            sleep(self.period).await;
        }
    }
}

/// Probes a container that was just started, tells of each change, and returns when it must be started anew.
pub async fn watch_health(
    container: &Container,
    sandbox: &Sandbox,
    health: &watch::Sender<Health>,
) -> Result<()> {
    let check = |probe: &Option<Probe>| {
        probe
            .as_ref()
            .map(|probe| Check::new(container, probe))
            .transpose()
    };
    let (startup, liveness) = (
        check(&container.startup_probe)?,
        check(&container.liveness_probe)?,
    );
    let readiness = check(&container.readiness_probe)?;
    if let Some(check) = startup {
        sleep(check.initial_delay).await;
        tokio::select! {
            () = check.until(true, sandbox) => {}
            () = check.until(false, sandbox) => return Ok(()),
        }
    }
    let set = |ready| health.send_replace(Health { started: true, ready });
    set(readiness.is_none());
    let readiness = async {
        let Some(check) = readiness else {
            return std::future::pending().await;
        };
        sleep(check.initial_delay).await;
        loop {
            for ready in [true, false] {
                check.until(ready, sandbox).await;
                set(ready);
                sleep(check.period).await;
            }
        }
    };
    let liveness = async {
        let Some(check) = liveness else {
            return std::future::pending().await;
        };
        sleep(check.initial_delay).await;
        check.until(false, sandbox).await;
    };
    tokio::select! {
        () = readiness => {}
        () = liveness => {}
    }
    Ok(())
}

fn port_of(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports
                .find(|port| port.name.as_ref() == Some(name))?
                .container_port
        }
    };
    u16::try_from(number).ok()
}

/// One HTTP request to a pod; status and body.
pub async fn get(sandbox: &Sandbox, port: u16, path: &str) -> Result<(u16, String)> {
    let stream = sandbox.connect(port).await?;
    exchange(stream, &sandbox.address().to_string(), path)
        .await
        .map_err(Error::io(format!("ask a pod for {path}")))
}
