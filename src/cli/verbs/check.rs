//! `check`: whether Reloader works in a namespace.
//!
//! Input: how long to wait for it. Output: checks, each passed, failed or unknown. I/O: asks replicas and the API server.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    cluster::Cluster,
    controller::Controller,
    error::VerbError,
    find::LeaseFacts,
    http::AskError,
    permissions::{Account, missing},
    table::{age, structured, table},
};
use crate::{
    args::CheckArgs,
    cli::exit::Exit,
    explain::{Status, VERSION},
};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// What was checked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    namespace: String,
    /// Whether no check has failed.
    works: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    name: &'static str,
    outcome: Outcome,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Passed,
    Failed,
    /// The user may not read it, or no replica was asked.
    Unknown,
}

impl Check {
    fn new(name: &'static str, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            name,
            outcome,
            message: message.into(),
        }
    }
}

pub(super) async fn run(args: &CheckArgs) -> Result<(String, Exit), VerbError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    let end = Instant::now() + args.wait;
    loop {
        let controller = Controller::look_for_one(&cluster, &args.cluster).await?;
        let checks = checks(&cluster, &controller).await;
        let works = !checks.iter().any(|check| check.outcome == Outcome::Failed);
        let is_known = checks.iter().any(|check| check.outcome == Outcome::Passed);
        if (!works || !is_known) && Instant::now() + PAUSE < end {
            sleep(PAUSE).await;
            continue;
        }
        let exit = match (works, is_known) {
            (true, true) => Exit::Success,
            (true, false) => Exit::Failure,
            (false, _) => Exit::No,
        };
        let report = Report {
            version: VERSION,
            namespace: cluster.namespace().to_owned(),
            works: works && is_known,
            checks,
        };
        let text = structured(args.output, &report)?;
        return Ok((text.unwrap_or_else(|| print(&report)), exit));
    }
}

type Answers = Vec<(String, Result<Status, AskError>)>;

async fn checks(cluster: &Cluster, controller: &Controller) -> Vec<Check> {
    let answers: Answers = controller.ask_all("/v1/status").await;
    let statuses: Vec<&Status> = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok())
        .collect();
    let found = controller.found();
    let mut checks = vec![replicas(controller, &answers, &statuses)];
    if found.pods.is_empty() && statuses.is_empty() {
        return checks;
    }
    let elects = found.settings.elects();
    checks.push(leader(found.lease.as_ref(), &statuses, elects, Timestamp::now()));
    checks.push(ready(
        &statuses,
        found.pods.iter().map(|pod| (&*pod.name, pod.is_ready)),
    ));
    checks.push(watches(&statuses));
    checks.push(permissions(cluster, controller).await);
    checks
}

fn replicas(controller: &Controller, answers: &Answers, statuses: &[&Status]) -> Check {
    let found = controller.found();
    let check = |outcome, message: String| Check::new("replicas", outcome, message);
    let mut versions: Vec<&str> = statuses.iter().map(|status| &*status.replica.version).collect();
    versions.sort_unstable();
    versions.dedup();
    let errors: Vec<(String, AskError)> = answers
        .iter()
        .filter_map(|(name, answer)| Some((name.clone(), answer.as_ref().err()?.clone())))
        .collect();
    let running = found.pods.len().max(answers.len());
    match (running, statuses.len()) {
        (0, _) if found.refused.is_empty() => check(Outcome::Failed, controller.why_not(&[])),
        (0, _) => check(Outcome::Unknown, controller.why_not(&[])),
        (_, 0) => {
            let published = found
                .settings
                .version()
                .map(|version| format!(" of version {version}"));
            let why = controller.why_not(&errors);
            // Replicas that the user names have to answer.
            let outcome = if found.pods.is_empty() {
                Outcome::Failed
            } else {
                Outcome::Passed
            };
            check(
                outcome,
                format!(
                    "{running} running{}, none answers: {why}",
                    published.unwrap_or_default()
                ),
            )
        }
        (_, answering) => check(
            Outcome::Passed,
            format!(
                "{running} running, {answering} answer, version {}",
                versions.join(" and ")
            ),
        ),
    }
}

fn leader(lease: Option<&LeaseFacts>, statuses: &[&Status], elects: Option<bool>, now: Timestamp) -> Check {
    let check = |outcome, message: String| Check::new("leader", outcome, message);
    let leading = statuses.iter().find(|status| status.replica.leads);
    let is_alone = |status: &&&Status| status.lease.is_none();
    if let Some(status) = leading.filter(is_alone) {
        return check(
            Outcome::Passed,
            format!("{} leads: it does not elect", status.replica.name),
        );
    }
    // What replicas say is newer than the published setting; a Lease that none of them takes part in is left from before.
    let elects = if statuses.iter().any(|status| status.lease.is_some()) {
        Some(true)
    } else {
        elects
    };
    if let Some(lease) = lease.filter(|_| elects != Some(false)) {
        let Some(holder) = &lease.holder else {
            return check(Outcome::Failed, format!("no replica holds Lease {}", lease.name));
        };
        let renewed = lease.renewed.map(|at| format!(", renewed {} ago", age(at, now)));
        let text = format!(
            "{holder} holds Lease {}{}",
            lease.name,
            renewed.unwrap_or_default()
        );
        let limit = SignedDuration::from_secs(lease.duration.unwrap_or(15).into());
        let is_late = lease.renewed.is_none_or(|at| now.duration_since(at) > limit);
        return if is_late {
            check(Outcome::Failed, format!("{text}: it has expired"))
        } else {
            check(Outcome::Passed, text)
        };
    }
    match (leading, elects, statuses.is_empty()) {
        (Some(status), ..) => check(Outcome::Passed, format!("{} leads", status.replica.name)),
        (None, Some(false), true) => check(Outcome::Passed, "replicas do not elect a leader".to_owned()),
        (None, _, true) => check(Outcome::Unknown, "the Lease cannot be read".to_owned()),
        (None, _, false) => {
            // Another replica may lead that was not asked.
            let named = statuses.iter().find_map(|status| status.leader.as_deref());
            match named {
                Some(name) => check(Outcome::Passed, format!("{name} leads, by what the others see")),
                None => check(Outcome::Failed, "no replica leads".to_owned()),
            }
        }
    }
}

fn ready<'a>(statuses: &[&Status], pods: impl Iterator<Item = (&'a str, bool)>) -> Check {
    let unready: Vec<String> = if statuses.is_empty() {
        pods.filter(|(_, is_ready)| !is_ready)
            .map(|(name, _)| name.to_owned())
            .collect()
    } else {
        let unready = statuses.iter().filter(|status| !status.ready);
        unready
            .map(|status| {
                format!(
                    "{} ({})",
                    status.replica.name,
                    status.not_ready_because.join("; ")
                )
            })
            .collect()
    };
    if unready.is_empty() {
        Check::new("ready", Outcome::Passed, "every replica is ready")
    } else {
        Check::new(
            "ready",
            Outcome::Failed,
            format!("not ready: {}", unready.join(", ")),
        )
    }
}

fn watches(statuses: &[&Status]) -> Check {
    let check = |outcome, message: String| Check::new("watches", outcome, message);
    let Some(first) = statuses.first() else {
        return check(
            Outcome::Unknown,
            "only a replica knows what it watches".to_owned(),
        );
    };
    let failed: Vec<String> = statuses
        .iter()
        .flat_map(|status| {
            let failing = status.watched.iter().filter(|watch| !watch.synced);
            failing.map(move |watch| {
                let error = watch.error.as_deref().unwrap_or("not listed yet");
                format!("{} of {}: {error}", watch.resource, status.replica.name)
            })
        })
        .collect();
    if failed.is_empty() {
        check(
            Outcome::Passed,
            format!("{} kinds are watched", first.watched.len()),
        )
    } else {
        check(Outcome::Failed, failed.join("; "))
    }
}

async fn permissions(cluster: &Cluster, controller: &Controller) -> Check {
    let check = |outcome, message: String| Check::new("permissions", outcome, message);
    let (Some(client), Some(pod)) = (cluster.client(), controller.found().pods.first()) else {
        return check(
            Outcome::Unknown,
            "Reloader's ServiceAccount is not known".to_owned(),
        );
    };
    let account = Account {
        namespace: &pod.namespace,
        name: &pod.service_account,
    };
    let settings = &controller.found().settings;
    let lacks = missing(client, &account, cluster.namespace(), |resource| {
        settings.ignores(resource)
    })
    .await;
    let who = format!("ServiceAccount {}/{}", account.namespace, account.name);
    match lacks {
        Ok(lacks) if lacks.is_empty() => check(Outcome::Passed, format!("{who} may do what it needs")),
        Ok(lacks) => check(
            Outcome::Failed,
            format!(
                "{who} may not {} in namespace {}",
                lacks.join(", "),
                cluster.namespace()
            ),
        ),
        Err(error) if error.is_forbidden() => check(
            Outcome::Unknown,
            "you may not ask (create on subjectaccessreviews)".to_owned(),
        ),
        Err(error) => check(Outcome::Unknown, error.to_string()),
    }
}

fn print(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .checks
        .iter()
        .map(|check| {
            let outcome = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Unknown => "unknown",
            };
            vec![check.name.to_owned(), outcome.to_owned(), check.message.clone()]
        })
        .collect();
    let mut text = table(&["CHECK", "RESULT", "MESSAGE"], &rows);
    let unknown = report
        .checks
        .iter()
        .any(|check| check.outcome == Outcome::Unknown);
    text.push_str(match (report.works, unknown) {
        (true, false) => "Reloader works\n",
        (true, true) => "Reloader works, as far as is known: see what is unknown\n",
        (false, _) => "Reloader does not work, or that is not known\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fresh(Some("pod_1"), 5, Outcome::Passed)]
    #[case::expired(Some("pod_1"), 16, Outcome::Failed)]
    #[case::given_back(None, 1, Outcome::Failed)]
    fn a_lease_must_be_held_and_renewed(
        #[case] holder: Option<&str>,
        #[case] seconds: i64,
        #[case] outcome: Outcome,
    ) {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lease = LeaseFacts {
            name: "ops/lock".to_owned(),
            holder: holder.map(str::to_owned),
            acquired: None,
            renewed: now.checked_sub(SignedDuration::from_secs(seconds)).ok(),
            duration: Some(15),
        };
        assert_eq!(leader(Some(&lease), &[], None, now).outcome, outcome);
        assert_eq!(leader(Some(&lease), &[], Some(true), now).outcome, outcome);
        // Replicas that do not elect have left it behind.
        let unused = leader(Some(&lease), &[], Some(false), now);
        assert_eq!(unused.outcome, Outcome::Passed, "{unused:?}");
    }

    #[test]
    fn what_is_unknown_is_part_of_the_verdict() {
        let text = |outcome| {
            print(&Report {
                version: VERSION,
                namespace: "shop".to_owned(),
                works: true,
                checks: vec![
                    Check::new("ready", Outcome::Passed, "yes"),
                    Check::new("watches", outcome, "any"),
                ],
            })
        };
        assert!(text(Outcome::Passed).ends_with("\nReloader works\n"));
        assert!(text(Outcome::Unknown).contains("\nReloader works, as far as is known"));
    }

    #[test]
    fn what_cannot_be_read_has_not_failed() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(leader(None, &[], None, now).outcome, Outcome::Unknown);
        assert_eq!(leader(None, &[], Some(false), now).outcome, Outcome::Passed);
        assert_eq!(watches(&[]).outcome, Outcome::Unknown);
        assert_eq!(ready(&[], [("a", false)].into_iter()).outcome, Outcome::Failed);
    }
}
