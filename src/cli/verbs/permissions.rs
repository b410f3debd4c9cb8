//! What Reloader's ServiceAccount may do in a namespace.
//!
//! Input: a ServiceAccount, a namespace. Output: the permissions that are missing. I/O: asks the API server, which the user
//! may not be allowed to.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use super::cluster::within;
use crate::api_error::ApiError;

/// Requests at the same time.
const AT_A_TIME: usize = 8;

/// What the chart grants in each watched namespace: group, resource, verbs.
const NEEDED: [(&str, &str, &[&str]); 8] = [
    ("", "configmaps", &["list", "watch"]),
    ("", "secrets", &["list", "watch"]),
    ("apps", "deployments", &["list", "watch", "patch"]),
    ("apps", "daemonsets", &["list", "watch", "patch"]),
    ("apps", "statefulsets", &["list", "watch", "patch"]),
    ("batch", "cronjobs", &["list", "watch"]),
    ("batch", "jobs", &["list", "watch", "create", "delete"]),
    ("", "events", &["create"]),
];

/// A ServiceAccount.
pub(super) struct Account<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// The permissions that it lacks there, as `list secrets`, except for resources that are left out.
pub(super) async fn missing(
    client: &Client,
    account: &Account<'_>,
    namespace: &str,
    is_left_out: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ApiError> {
    let wanted = NEEDED
        .iter()
        .filter(|(_, resource, _)| !is_left_out(resource))
        .flat_map(|(group, resource, verbs)| verbs.iter().map(move |verb| (*group, *resource, *verb)));
    let asked = stream::iter(wanted)
        .map(async |(group, resource, verb)| {
            let allowed = may(client, account, namespace, (group, resource, verb)).await?;
            Ok::<_, ApiError>((!allowed).then(|| format!("{verb} {resource}")))
        })
        .buffered(AT_A_TIME);
    let missing: Vec<Option<String>> = asked.try_collect().await?;
    Ok(missing.into_iter().flatten().collect())
}

async fn may(
    client: &Client,
    account: &Account<'_>,
    namespace: &str,
    (group, resource, verb): (&str, &str, &str),
) -> Result<bool, ApiError> {
    let Account {
        namespace: home,
        name,
    } = account;
    let groups = [
        "system:authenticated".to_owned(),
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{home}"),
    ];
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{home}:{name}")),
            groups: Some(groups.into()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api = Api::<SubjectAccessReview>::all(client.clone());
    let answer = within(api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
