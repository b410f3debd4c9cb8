//! How long `reloader lint` takes for 1,000 documents, from the start of the program to its end.

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use tempfile::TempDir;

/// Documents of a file: for each Deployment the ConfigMap and the Service of its chart, and every tenth with a mistake.
const DOCUMENTS: usize = 1_000;

/// The output of `helm template` for a platform of that many documents.
fn manifests() -> String {
    let mut text = String::new();
    for number in 0..DOCUMENTS {
        let name = format!("web-{}", number / 3);
        let document = match number % 3 {
            0 => deployment(&name, (number / 3) % 10 == 0),
            1 => config_map(&name),
            _ => service(&name),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "---\n# Source: platform/templates/{name}.yaml\n{document}");
    }
    text
}

fn deployment(name: &str, is_wrong: bool) -> String {
    let key = if is_wrong {
        "reloader.stakater.com/reload"
    } else {
        "configmap.reloader.stakater.com/reload"
    };
    let mut text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: shop\n  labels:\n    \
         app.kubernetes.io/name: {name}\n    helm.sh/chart: platform-1.2.3\n  annotations:\n    {key}: {name}\nspec:\n  \
         replicas: 3\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: {name}\n  template:\n    metadata:\n      \
         labels:\n        app.kubernetes.io/name: {name}\n    spec:\n      containers:\n"
    );
    for container in ["main", "proxy"] {
        let _ = write!(
            text,
            "      - name: {container}\n        image: registry.example/{name}:1.2.3\n        envFrom:\n        - configMapRef:\n            \
             name: {name}\n        env:\n"
        );
        for number in 0..20 {
            let _ = write!(
                text,
                "        - name: VARIABLE_{number}\n          value: \"{number}\"\n"
            );
        }
    }
    text
}

fn config_map(name: &str) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n  application.yaml: |\n"
    );
    for number in 0..50 {
        let _ = writeln!(
            text,
            "    setting-{number}: a value of a usual length, as files of settings have"
        );
    }
    text
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: shop\nspec:\n  selector:\n    \
         app.kubernetes.io/name: {name}\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n"
    )
}

/// Runs the program. It ends with 1, because there are mistakes.
fn lint(file: &Path, output: &str) {
    let status = Command::new(env!("CARGO_BIN_EXE_reloader"))
        .args(["lint", "--output", output, "--filename"])
        .arg(file)
        .stdout(Stdio::null())
        .status()
        .expect("the program");
    assert_eq!(status.code(), Some(1));
}

fn documents(criterion: &mut Criterion) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("manifests.yaml");
    fs::write(&file, manifests()).expect("a file");
    let mut group = criterion.benchmark_group("lint");
    group.measurement_time(Duration::from_secs(5)).sample_size(20);
    for output in ["text", "sarif"] {
        group.bench_function(format!("{DOCUMENTS} documents, as {output}"), |bencher| {
            bencher.iter(|| lint(&file, output));
        });
    }
    group.finish();
}

criterion_group!(benches, documents);
criterion_main!(benches);
