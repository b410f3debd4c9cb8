//! What the controller costs, by its own `/metrics`: the one thing here that it says about itself.
//!
//! Input: pods. Output: sums. I/O: asks the API server's proxy of pods.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use futures::future::join_all;
use kube::{Client, ResourceExt};

use super::{owned::SYSTEM, release};

/// Where pods serve them, in both charts.
const PORT: u16 = 9090;

/// One pod's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Requests to the API server since its start.
    pub requests: f64,
    /// Processor time since its start, in seconds.
    pub cpu: f64,
    /// Resident memory, in MiB.
    pub memory: f64,
}

/// The figures of the pods at one moment, by pod.
pub type Samples = BTreeMap<String, Sample>;

/// What all pods together needed between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Requests to the API server.
    pub requests: f64,
    /// Processor time in seconds.
    pub cpu: f64,
    /// The most that one pod held at the end, in MiB.
    pub memory: f64,
    /// The time between the two.
    pub time: Duration,
}

impl Sample {
    /// Reads the text format of Prometheus; a series that is missing counts as 0.
    pub fn parse(text: &str) -> Self {
        let sum = |metric: &str| -> f64 {
            let lines = text.lines().filter_map(|line| line.strip_prefix(metric));
            // Another metric's name may begin the same.
            let series = lines.filter(|rest| rest.starts_with(['{', ' ']));
            // A value of a label may hold spaces, and a timestamp may follow.
            let value = |rest: &str| rest.rsplit_once('}').map_or(rest, |(_, value)| value).to_owned();
            series
                .filter_map(|rest| value(rest).split_whitespace().next()?.parse::<f64>().ok())
                .sum()
        };
        Self {
            requests: sum("rest_client_requests_total"),
            cpu: sum("process_cpu_seconds_total"),
            memory: sum("process_resident_memory_bytes") / 1_048_576.0,
        }
    }
}

/// Pods that are gone meanwhile are not counted: what they needed is not known. New ones began at 0.
pub fn cost(before: &Samples, after: &Samples, time: Duration) -> Cost {
    let mut cost = Cost {
        time,
        ..Cost::default()
    };
    for (pod, after) in after {
        let before = before.get(pod).copied().unwrap_or_default();
        cost.requests += (after.requests - before.requests).max(0.0);
        cost.cpu += (after.cpu - before.cpu).max(0.0);
        cost.memory = cost.memory.max(after.memory);
    }
    cost
}

/// Asks every pod of the release.
pub async fn read(client: &Client) -> Result<Samples> {
    let pods = release::pods(client).await?;
    let alive = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let asked = alive.map(|pod| async move {
        let name = pod.name_any();
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:{PORT}/proxy/metrics");
        let request = http::Request::get(&path).body(Vec::new())?;
        let text = client.request_text(request).await.with_context(|| {
            format!("ask pod {name} for /metrics by the API server's proxy, which needs `get` on pods/proxy")
        })?;
        anyhow::Ok((name, Sample::parse(&text)))
    });
    join_all(asked).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP rest_client_requests_total Requests.\n# TYPE rest_client_requests_total counter\n\
        rest_client_requests_total{code=\"200\",host=\"a } b\",method=\"GET\"} 7\n\
        rest_client_requests_total{code=\"409\",method=\"PATCH\"} 2 1700000000\n\
        rest_client_requests_total_other 100\nprocess_cpu_seconds_total 1.5\n\
        process_resident_memory_bytes 2.097152e+07\n";

    #[test]
    fn series_of_a_metric_are_added_up() {
        let sample = Sample::parse(TEXT);
        assert_eq!(
            sample,
            Sample {
                requests: 9.0,
                cpu: 1.5,
                memory: 20.0
            }
        );
        assert_eq!(Sample::parse(""), Sample::default());
    }

    #[test]
    fn costs_are_differences_and_a_new_pod_begins_at_nothing() {
        let sample = |requests, cpu, memory| Sample {
            requests,
            cpu,
            memory,
        };
        let before = Samples::from([
            ("a".to_owned(), sample(10.0, 1.0, 20.0)),
            ("gone".to_owned(), sample(99.0, 9.0, 99.0)),
        ]);
        let after = Samples::from([
            ("a".to_owned(), sample(15.0, 1.5, 18.0)),
            ("new".to_owned(), sample(3.0, 0.5, 12.0)),
        ]);
        let expected = Cost {
            requests: 8.0,
            cpu: 1.0,
            memory: 18.0,
            time: Duration::from_secs(9),
        };
        assert_eq!(cost(&before, &after, Duration::from_secs(9)), expected);
    }
}
