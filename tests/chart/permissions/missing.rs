//! A missing permission is logged once, by a line that names the verb, the resource and what to do.
//!
//! What the program does without it is tested elsewhere: `failing_workloads.rs`, `upstream_rbac.rs`, `scopes.rs`, `ledger.rs` of
//! `tests/integration`.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use reloader::model::WorkloadKind;
use rstest::{Context, rstest};
use serde_json::{Value, json};
use testbed::{ControlPlane, eventually};
use tokio::sync::OnceCell;

use super::{
    mode::{Mode, PATIENCE, run},
    workloads::{restarts, sources},
};

/// Apart from the modes, some of which would restart these workloads.
static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// Takes verbs on a resource out of the rules of a rendered role, and nothing else.
fn without(role: &mut Value, resource: &str, verbs: &[&str]) {
    let rules = role["rules"].as_array_mut().unwrap();
    let concerned = |rule: &&mut Value| {
        let resources = rule["resources"].as_array().unwrap();
        resources.iter().any(|other| other == resource)
    };
    let mut rests = Vec::new();
    for rule in rules.iter_mut().filter(concerned) {
        let mut rest = rule.clone();
        rest["resources"] = json!([resource]);
        let left = rest["verbs"].as_array_mut().unwrap();
        left.retain(|verb| !verbs.iter().any(|gone| verb == gone));
        rests.push(rest);
        let others = rule["resources"].as_array_mut().unwrap();
        others.retain(|other| other != resource);
    }
    rules.extend(rests);
    rules.retain(|rule| rule["verbs"] != json!([]) && rule["resources"] != json!([]));
}

/// `role` is the end of the role's name; the line has to hold each of the words.
#[rstest]
#[case::workload_patch("-reloader-role", "deployments", &["patch"],
    &["Update for 'deployment' of type 'Deployment'", "cannot patch resource \"deployments\"", "grant that to"])]
#[case::job_create("-reloader-role", "jobs", &["create"],
    &["Update for 'cronjob' of type 'CronJob'", "cannot create resource \"jobs\"", "grant that to"])]
#[case::cron_job_get("-reloader-role", "cronjobs", &["get"],
    &["Update for 'cronjob' of type 'CronJob'", "cannot get resource \"cronjobs\"", "grant that to"])]
#[case::source_watch("-reloader-role", "configmaps", &["list", "watch"],
    &["Not allowed to list and watch configmaps", "cannot list resource \"configmaps\"", "Grant the verbs list and watch"])]
#[case::workload_watch("-reloader-role", "deployments", &["watch"],
    &["Not allowed to watch deployments", "Grant the verb watch"])]
#[case::event_create("-reloader-role", "events", &["create"],
    &["Events are not written", "cannot create resource \"events\"", "grant create and patch on events"])]
#[case::event_patch("-reloader-role", "events", &["patch"],
    &["Events are not written", "cannot patch resource \"events\"", "grant create and patch on events"])]
#[case::lease_get("-metadata-role", "leases", &["get"],
    &["not allowed to get the Lease", "cannot get resource \"leases\"", "grant the verbs get, create and update"])]
#[case::lease_create("-metadata-role", "leases", &["create"],
    &["not allowed to create the Lease", "cannot create resource \"leases\"", "grant the verbs get, create and update"])]
#[case::lease_update("-metadata-role", "leases", &["update"],
    &["not allowed to update the Lease", "cannot update resource \"leases\"", "grant the verbs get, create and update"])]
#[case::ledger_create("-metadata-role", "configmaps", &["create"],
    &["No permission to keep the ledger", "cannot create resource \"configmaps\"", "Grant get, list, watch, create and update on configmaps"])]
#[case::ledger_get("-metadata-role", "configmaps", &["get"],
    &["No permission to keep the ledger", "cannot get resource \"configmaps\"", "Grant get, list, watch, create and update on configmaps"])]
fn a_missing_permission_is_logged_with_a_remedy(
    #[context] context: Context,
    #[case] role: &str,
    #[case] resource: &str,
    #[case] verbs: &[&str],
    #[case] words: &[&str],
) {
    let name = format!("without-{}", context.description.unwrap().replace('_', "-"));
    run(async {
        let change = |object: &mut Value| {
            let kind = object["kind"].as_str().unwrap();
            let is_role = ["ClusterRole", "Role"].contains(&kind);
            if is_role && object["metadata"]["name"].as_str().unwrap().ends_with(role) {
                without(object, resource, verbs);
            }
        };
        let plane = PLANE
            .get_or_init(async || ControlPlane::start().await.unwrap())
            .await;
        let mode = Mode::with(plane, "single-namespace", (&name, &[]), change).await;
        let replica = mode.start("reloader-0").await;
        let what = format!("a line with {words:?}");
        let reported = || {
            // In logfmt a quote is escaped.
            let log = replica.log().replace('\\', "");
            let lines = log.lines();
            lines
                .filter(|line| words.iter().all(|word| line.contains(word)))
                .count()
        };
        // The first leader takes what is there for settled, and writes that down.
        let maps = Api::<ConfigMap>::namespaced(mode.client.clone(), &mode.own);
        let ledger = &mode.config.ledger.as_ref().unwrap().name;
        let begun = eventually(PATIENCE, "the ledger", async || {
            let ledger = maps.get_opt(ledger).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((reported() > 0 || ledger.is_some()).then_some(()))
        });
        begun
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", replica.log()));
        // The second Event about the same raises the count of the first.
        for round in 1..=2 {
            if reported() > 0 {
                break;
            }
            for source in sources(&mode.config, &mode.own, round) {
                mode.apply(&source).await;
            }
            let done = eventually(PATIENCE, &what, async || {
                let restarts = restarts(WorkloadKind::Deployment, &mode.own, &mode.requests());
                (reported() > 0 || restarts >= round).then_some(())
            });
            done.await
                .unwrap_or_else(|error| panic!("{error}\n{}", replica.log()));
        }
        let line = eventually(PATIENCE, &what, async || (reported() > 0).then_some(()));
        line.await
            .unwrap_or_else(|error| panic!("{error}\n{}", replica.log()));
        if resource == "leases" {
            // It is asked for every two seconds.
            let again = eventually(PATIENCE, "further attempts", async || {
                let requests = mode.requests();
                let refused = requests.iter().filter(|request| {
                    request.code == 403
                        && request.resource == resource
                        && verbs.contains(&request.verb.as_str())
                });
                (refused.count() >= 3).then_some(())
            });
            again
                .await
                .unwrap_or_else(|error| panic!("{error}\n{}", replica.log()));
        }
        assert_eq!(reported(), 1, "{}", replica.log());
    });
}
