//! How fast a Deployment is decoded, and what it costs to look for mistakes in its annotations: paid for each object of a
//! list, and for each event.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use reloader::{
    model::WorkloadKind,
    watch::workload::{Reading, WorkloadObject},
};
use serde_json::{Value, json};

const KIND: WorkloadKind = WorkloadKind::Deployment;

/// A Deployment as Helm and kubectl leave it.
fn deployment(annotations: &Value) -> String {
    let mut all = json!({
        "deployment.kubernetes.io/revision": "7",
        "meta.helm.sh/release-name": "shop",
        "meta.helm.sh/release-namespace": "shop",
        "kubectl.kubernetes.io/last-applied-configuration": "{}".repeat(800),
        "prometheus.io/scrape": "true",
    });
    for (key, value) in annotations.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let labels = json!({
        "app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "shop", "app.kubernetes.io/version": "1.2.3",
        "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "web-1.2.3", "team": "shop",
    });
    let fields = json!({ "f:metadata": { "f:annotations": { ".": {}, "f:meta.helm.sh/release-name": {} } },
        "f:spec": { "f:replicas": {}, "f:template": { "f:spec": { "f:containers": {} } } } });
    let container = json!({ "name": "main", "image": "registry.example/web:1.2.3",
        "env": [{ "name": "A", "value": "1" }, { "name": "B", "valueFrom": { "secretKeyRef": { "name": "tls", "key": "b" } } }],
        "envFrom": [{ "configMapRef": { "name": "settings" } }],
        "resources": { "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "memory": "64Mi" } } });
    json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "9e3f6f0e-0000-4000-8000-000000000000",
            "resourceVersion": "12345", "generation": 7, "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": all, "labels": labels.clone(),
            "managedFields": [{ "manager": "helm", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields }] },
        "spec": { "replicas": 2, "template": { "metadata": { "labels": labels },
            "spec": { "containers": [container], "volumes": [{ "name": "v", "configMap": { "name": "settings" } }] } } },
        "status": { "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 },
    })
    .to_string()
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    let opts_in = json!({ "reloader.stakater.com/auto": "true" });
    for (name, annotations) in [("no business of Reloader's", json!({})), ("opted in", opts_in)] {
        let text = deployment(&annotations);
        let reading = Reading::default();
        let decode = || serde_json::from_str::<WorkloadObject>(black_box(&text)).ok();
        assert!(decode().is_some());
        group.bench_function(format!("{name}, as read after a patch"), |bencher| {
            bencher.iter(|| decode().map(|object| reading.read(object, KIND)));
        });
        group.bench_function(format!("{name}, with a look for mistakes"), |bencher| {
            bencher.iter(|| decode().map(|object| reading.read_and_check(object, KIND)));
        });
    }
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
