//! Asks the replicas of Reloader.
//!
//! Input: what was found, the addresses that the user names. Output: answers, or why there is none. I/O: asks replicas.

use serde::de::DeserializeOwned;

use super::{
    cluster::Cluster,
    error::VerbError,
    find::{Found, find},
    http::{AskError, Line, address},
    table::printable,
};
use crate::args::ClusterArgs;

/// The replicas that can be asked.
pub(super) struct Controller {
    lines: Vec<Line>,
    found: Found,
}

impl Controller {
    /// Looks for it. That none is found is no error; of several that are equally good, a line on standard error names the
    /// one that is asked.
    pub(super) async fn look_for(cluster: &Cluster, args: &ClusterArgs) -> Result<Self, VerbError> {
        Self::look(cluster, args, false).await
    }

    /// The same; that several are equally good is an error.
    pub(super) async fn look_for_one(cluster: &Cluster, args: &ClusterArgs) -> Result<Self, VerbError> {
        Self::look(cluster, args, true).await
    }

    async fn look(cluster: &Cluster, args: &ClusterArgs, only_one: bool) -> Result<Self, VerbError> {
        let mut lines = Vec::new();
        for endpoint in &args.endpoint {
            lines.push(Line::Address(address(endpoint).map_err(VerbError::Usage)?));
        }
        let Some(client) = cluster.client() else {
            return Ok(Self {
                lines,
                found: Found::default(),
            });
        };
        let found = find(client, args.reloader_namespace.as_deref(), cluster.namespace()).await;
        if lines.is_empty() {
            if let (true, Some(error)) = (only_one, several(&found)) {
                return Err(error);
            }
            if let (Some(pod), false) = (found.pods.first(), found.others.is_empty()) {
                let others: Vec<&str> = found.others.iter().map(String::as_str).collect();
                eprintln!(
                    "Reloader runs in several namespaces. This is about the one in {}; --reloader-namespace chooses: {}",
                    pod.namespace,
                    others.join(", ")
                );
            }
            let pods = found.pods.iter().filter_map(|pod| {
                Some(Line::Pod {
                    client: client.clone(),
                    namespace: pod.namespace.clone(),
                    name: pod.name.clone(),
                    port: pod.port?,
                })
            });
            lines.extend(pods);
        }
        Ok(Self { lines, found })
    }

    /// What was found in the cluster.
    pub(super) const fn found(&self) -> &Found {
        &self.found
    }

    /// The ways to the replicas, the leader's first where that is known.
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The first answer that is enough; else the last one. The error says why there is none.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        is_enough: impl Fn(&T) -> bool,
    ) -> Result<T, String> {
        let mut kept = None;
        let mut errors = Vec::new();
        for line in &self.lines {
            match line.get::<T>(path).await {
                Ok(answer) => {
                    let is_enough = is_enough(&answer);
                    kept = Some(answer);
                    if is_enough {
                        break;
                    }
                }
                Err(error) => errors.push((line.name(), error)),
            }
        }
        kept.ok_or_else(|| self.why_not(&errors))
    }

    /// The answer of each replica, with its name.
    pub(super) async fn ask_all<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Vec<(String, Result<T, AskError>)> {
        let asked = self
            .lines
            .iter()
            .map(async |line| (line.name(), line.get::<T>(path).await));
        futures::future::join_all(asked).await
    }

    /// Says on standard error why no replica has answered, and what the answer is worth therefore.
    pub(super) fn say_without(why: &str) {
        let text =
            format!("{why}. The answer is made of the objects alone, by the rules of this program's version");
        eprintln!("{}", printable(&text));
    }

    /// Why no replica has answered, and what to do about it.
    pub(super) fn why_not(&self, errors: &[(String, AskError)]) -> String {
        // What a replica says is more than that another one was not reached.
        let said = errors
            .iter()
            .find(|(_, error)| matches!(error, AskError::NoAnswer(_)));
        match said.or_else(|| errors.first()) {
            Some((_, AskError::NoAnswer(text))) => format!("Reloader says: {text}"),
            Some((name, AskError::Forbidden(text))) => format!("{name} was not asked: {text}"),
            Some((name, AskError::NotReached(text))) => format!(
                "{name} does not answer ({text}). It may be of an older version that answers no questions: then upgrade it; \
                 or run with --inspect-address="
            ),
            None if !self.found.pods.is_empty() => {
                "Reloader runs with --inspect-address= and answers no questions".to_owned()
            }
            None => {
                let refused = self.found.refused.join(", ");
                let refused = if refused.is_empty() {
                    String::new()
                } else {
                    format!(" ({refused})")
                };
                format!("no pod of Reloader was found{refused}; --reloader-namespace says where it runs")
            }
        }
    }
}

/// It is not certain which installation is meant.
fn several(found: &Found) -> Option<VerbError> {
    if found.rivals.is_empty() {
        return None;
    }
    let names: Vec<&str> = found.rivals.iter().map(String::as_str).collect();
    Some(VerbError::NoAnswer(format!(
        "pods of Reloader run in several namespaces, and nothing shows which of them is meant; --reloader-namespace chooses: {}",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_that_are_equally_good_are_an_error_that_names_them() {
        assert!(several(&Found::default()).is_none());
        let found = Found {
            rivals: ["ops", "shop"].map(str::to_owned).into(),
            ..Found::default()
        };
        let error = several(&found).unwrap().to_string();
        assert!(
            error.ends_with("--reloader-namespace chooses: ops, shop"),
            "{error}"
        );
    }
}
