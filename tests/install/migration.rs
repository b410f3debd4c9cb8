//! From Stakater Reloader's chart or manifests to these, and back, over workloads that carry its markers.
//!
//! Their place is taken by some of the same shape (`former-chart`, `former-manifests`), its program's by this one under its
//! flags and roles.

use rstest::rstest;
use serde_json::{Value, json};
use testbed::{Entry, binaries::Component};

use crate::harness::{
    Cluster, DEPLOYMENT, IMAGE, RELEASE, in_repository, run,
    shell::Shell,
    workloads::{APPS, Workloads, digest_of, marker_of},
};

const FORMER: &str = "tests/install/former-chart";
const OURS: &str = "charts/reloader";
/// Every value of the other chart, as `helm get values --all` prints it.
const VALUES: &str = "charts/reloader/ci/upstream-defaults-values.yaml";
/// What its user set: pods as the namespace demands them, probed more often than by default.
const SET: [&str; 2] = [
    r#"reloader.deployment.containerSecurityContext={"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}"#,
    r#"reloader.deployment.readinessProbe={"initialDelaySeconds":0,"periodSeconds":1}"#,
];
const WORKLOADS: usize = 100;
/// Values of its other versions: from 0.0.110, over those of 1.0, 2.0 and 2.2, to 2.2.18 and the chart of v2.
const VERSIONS: [&str; 8] = [
    "28-reload-on-create",
    "34-budget",
    "42-seccomp",
    "48-image-on-top",
    "54-2.2.16",
    "55-2.2.17",
    "56-2.2.18",
    "57-v2",
];

/// Marks a workload as restarted for what its ConfigMap holds: in turn in the way of each strategy.
pub fn mark(number: usize, deployment: &mut Value) {
    let digest = digest_of("0");
    let template = &mut deployment["spec"]["template"];
    if number.is_multiple_of(2) {
        template["spec"]["containers"][0]["env"] = json!([{ "name": marker_of(number), "value": digest }]);
    } else {
        let marker = json!({
            "type": "CONFIGMAP", "name": format!("settings-{number}"), "namespace": APPS, "hash": digest,
            "containerRefs": ["web"], "observedAt": 1_700_000_000,
        });
        template["metadata"]["annotations"] =
            json!({ "reloader.stakater.com/last-reloaded-from": marker.to_string() });
    }
}

/// How often pods of the release wrote a workload.
fn writes(cluster: &Cluster) -> usize {
    let user = cluster.user();
    let by_pods = |entry: &Entry| {
        entry.user == user && entry.is_write() && entry.namespace == APPS && entry.group == "apps"
    };
    cluster.plane.audit().matching(by_pods).unwrap().len()
}

/// The Deployment that is to stay the same one.
pub async fn uid(cluster: &Cluster) -> Option<String> {
    cluster.deployments().get(DEPLOYMENT).await.unwrap().metadata.uid
}

/// After so many swaps and a change after each but this one: no workload was written for the swap, and a change restarts what it
/// has to and nothing else.
async fn assert_quiet(cluster: &Cluster, workloads: &mut Workloads, round: usize, what: &str) {
    cluster.running(1).await;
    cluster.ready().await;
    assert_eq!(writes(cluster), round, "{what}: workloads were written");

    workloads.change(round).await;
    workloads.settled(&cluster.plane).await;
    for number in 0..WORKLOADS {
        let expected = usize::from(number <= round);
        let rollouts = Workloads::rollouts(&cluster.plane, number);
        assert_eq!(rollouts, expected, "{what}: web-{number}");
    }
    assert_eq!(writes(cluster), round + 1, "{what}");
}

#[test]
fn a_release_of_the_other_chart_is_upgraded_in_place_and_back_without_a_rollout() {
    run(
        "migration::a_release_of_the_other_chart_is_upgraded_in_place_and_back_without_a_rollout",
        async {
            let cluster = Cluster::start().await;
            let mut workloads = Workloads::create(&cluster, WORKLOADS, mark).await;
            let values = in_repository(VALUES);
            let values = [
                "--values",
                values.as_str(),
                "--set-json",
                SET[0],
                "--set-json",
                SET[1],
            ];

            cluster.release(Component::Helm, "install", FORMER, &values).await;
            let first = uid(&cluster).await;
            for (round, chart) in [FORMER, OURS, FORMER, OURS].into_iter().enumerate() {
                match round {
                    0 => {}
                    3 => {
                        cluster
                            .helm(Component::Helm, &["rollback", RELEASE, "2", "--wait"])
                            .await;
                    }
                    _ => cluster.release(Component::Helm, "upgrade", chart, &values).await,
                }
                assert_quiet(&cluster, &mut workloads, round, chart).await;
                assert_eq!(uid(&cluster).await, first, "the Deployment is another one");
            }
        },
    );
}

/// A user's overlay over a base: a namespace of its own, patches by index and by name.
fn overlay(base: &str) -> String {
    format!(
        r#"
resources: [namespace.yaml, ../{base}]
namespace: tooling
images: [{{ name: reloader, newName: {IMAGE} }}]
patches:
  - target: {{ kind: Deployment, name: reloader-reloader }}
    patch: |
      - {{ op: replace, path: /spec/template/spec/containers/0/resources, value: {{ limits: {{ cpu: "1", memory: 256Mi }} }} }}
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{ name: reloader-reloader }}
      spec:
        template:
          spec:
            containers:
              - name: reloader-reloader
                args: [--log-format=json, --reload-strategy=env-vars]
                readinessProbe: {{ initialDelaySeconds: 0, periodSeconds: 1 }}
"#
    )
}

/// Arguments of v1.4.21.
const V1_4_21: [&str; 17] = [
    "--log-format=json",
    "--log-level=info",
    "--resources-to-ignore=secrets",
    "--ignored-workload-types=jobs,cronjobs",
    "--namespaces-to-ignore=kube-system",
    "--resource-label-selector=!ignored",
    "--enable-pprof",
    "--pprof-addr=:6060",
    "--auto-annotation",
    "reloader.stakater.com/auto",
    "--is-Argo-Rollouts=false",
    "--reload-on-create=false",
    "--reload-on-delete=false",
    "--sync-after-restart=false",
    "--reload-strategy=env-vars",
    "--enable-ha=false",
    "--auto-reload-all=false",
];
/// What v1.4.22 has beside them.
const V1_4_22: [&str; 3] = [
    "--leader-election-lease-duration=15s",
    "--leader-election-renew-deadline=10s",
    "--leader-election-retry-period=2s",
];
/// What v2 has beside both; the rest is in `the_flags_of_upstreams_version_2_start_and_reload`.
const V2: [&str; 6] = [
    "--leader-election-id=reloader-leader-election",
    "--configmap-exclude-annotation=configmaps.exclude.reloader.stakater.com/reload",
    "--secret-exclude-annotation=secrets.exclude.reloader.stakater.com/reload",
    "--alert-on-reload=false",
    "--is-openshift=auto",
    "--health-addr=:8081",
];

#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// `kubectl apply` of one file.
    File,
    /// The base of a user's kustomization.
    Base,
    /// The same Deployment with another image, in it the arguments of v1.4.21 and some more.
    Image(&'static [&'static str]),
}

impl Way {
    /// The commands that swap one for the other.
    fn commands(self, round: usize) -> String {
        let is_ours = !round.is_multiple_of(2);
        let manifests = if is_ours {
            "deployments/kubernetes"
        } else {
            "tests/install/former-manifests"
        };
        match self {
            Self::File => format!("kubectl apply --filename {manifests}/reloader.yaml"),
            Self::Base => {
                let overlay = overlay(manifests);
                format!(
                    "cat > overlay/kustomization.yaml <<'END'\n{overlay}\nEND\nkubectl apply --kustomize overlay"
                )
            }
            Self::Image(further) if round == 0 => {
                let arguments = [&V1_4_21[..], further].concat();
                let patch = json!([{ "op": "add", "path": "/spec/template/spec/containers/0/args", "value": arguments }]);
                format!(
                    "kubectl apply --filename {manifests}/reloader.yaml\n\
                     kubectl patch deployment {DEPLOYMENT} --type json --patch '{patch}'"
                )
            }
            Self::Image(_) => {
                let image = if is_ours {
                    format!("{IMAGE}:0.1.0")
                } else {
                    "ghcr.io/stakater/reloader:v1.4.21".to_owned()
                };
                format!("kubectl set image deployment/{DEPLOYMENT} {DEPLOYMENT}={image}")
            }
        }
    }
}

#[rstest]
#[case::file(Way::File, "1_file")]
#[case::base(Way::Base, "2_base")]
#[case::image(Way::Image(&[]), "3_image")]
#[case::image_of_1_4_22(Way::Image(&V1_4_22), "4_image_of_1_4_22")]
#[case::image_of_2(Way::Image(&V2), "5_image_of_2")]
fn the_other_manifests_are_replaced_in_place_and_back_without_a_rollout(
    #[case] way: Way,
    #[case] case: &str,
) {
    let test = format!(
        "migration::the_other_manifests_are_replaced_in_place_and_back_without_a_rollout::case_{case}"
    );
    run(&test, async {
        let namespace = if way == Way::Base { "tooling" } else { "default" };
        let cluster = Cluster::start_in(namespace).await;
        let mut workloads = Workloads::create(&cluster, WORKLOADS, mark).await;
        let shell = Shell::new(&cluster).await;
        std::fs::create_dir(shell.folder().join("overlay")).unwrap();
        shell.write(
            "overlay/namespace.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: tooling, labels: { team: platform } }\n",
        );

        let mut first = None;
        for round in 0..4 {
            let commands = way.commands(round);
            shell.succeed(&commands).await;
            assert_quiet(&cluster, &mut workloads, round, &commands).await;
            let present = uid(&cluster).await;
            assert_eq!(
                *first.get_or_insert_with(|| present.clone()),
                present,
                "the Deployment is another one"
            );
        }
    });
}

/// `helm upgrade --reuse-values` renders this chart with another's values and none of its own.
#[test]
fn releases_of_its_other_versions_are_upgraded_with_their_values_and_back_without_a_rollout() {
    run(
        "migration::releases_of_its_other_versions_are_upgraded_with_their_values_and_back_without_a_rollout",
        async {
            let cluster = Cluster::start().await;
            let mut workloads = Workloads::create(&cluster, VERSIONS.len(), mark).await;
            let mut first = None;
            for (number, version) in VERSIONS.into_iter().enumerate() {
                let values = in_repository(&format!("tests/chart/former-values/{version}.yaml"));
                // Earlier versions have no profile of system calls, which the namespace demands.
                let profile = "reloader.deployment.securityContext.seccompProfile.type=RuntimeDefault";
                let user = ["--set-json", SET[0], "--set-json", SET[1], "--set", profile];
                let given = [&["--values", values.as_str(), "--install"], &user[..]].concat();
                // Also the way back from the version before it.
                cluster.release(Component::Helm, "upgrade", FORMER, &given).await;
                cluster.running(1).await;
                let former = uid(&cluster).await;
                assert_eq!(
                    *first.get_or_insert_with(|| former.clone()),
                    former,
                    "{version}: the Deployment is another one"
                );

                cluster
                    .release(Component::Helm, "upgrade", OURS, &["--reuse-values"])
                    .await;
                let deployment = cluster.deployments().get(DEPLOYMENT).await.unwrap();
                let replicas = deployment.spec.replicas.unwrap();
                cluster.running(usize::try_from(replicas).unwrap()).await;
                cluster.ready().await;
                assert_eq!(
                    uid(&cluster).await,
                    former,
                    "{version}: the Deployment is another one"
                );
                assert_eq!(writes(&cluster), number, "{version}: workloads were written");

                workloads.change(number).await;
                workloads.settled(&cluster.plane).await;
                assert_eq!(writes(&cluster), number + 1, "{version}");
            }
            let values = in_repository(VALUES);
            let all = ["--values", &values, "--set-json", SET[0], "--set-json", SET[1]];
            cluster.release(Component::Helm, "upgrade", FORMER, &all).await;
            cluster.running(1).await;
            assert_eq!(writes(&cluster), VERSIONS.len(), "the way back");
        },
    );
}
