//! The controller's ledger, as a test sees it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use reloader::model::Digest;
use testbed::{Entry, eventually};

use super::{PATIENCE, World};

/// Its first ConfigMap, where `RELOADER_DEPLOYMENT_NAME` is not set.
pub const NAME: &str = "reloader-ledger";

/// Whether the request is about the ledger. The audit log does not tell the name of an object that is being created;
/// the controller creates no other ConfigMap.
pub fn is_ledger(entry: &Entry) -> bool {
    entry.resource == "configmaps"
        && (entry.name.starts_with(NAME)
            || entry.name.is_empty() && entry.verb == "create"
            || entry.uri.contains(&format!("ledger%3D{NAME}")))
}

impl World {
    /// The ledger's lines, with digests in place of what hides them: `configmap team app <digest>`, then `absent` where the
    /// source was deleted, then the workloads that owe as `deployment/web=<digest>`.
    pub async fn ledger(&self) -> Vec<String> {
        let object = self
            .api::<ConfigMap>()
            .get_opt(NAME)
            .await
            .expect("the ledger can be read");
        let data = object.and_then(|object| object.data).unwrap_or_default();
        let text = data.get("sources").cloned().unwrap_or_default();
        let key = data.get("key").cloned().unwrap_or_default();
        let readable = |line: &str| readable(&key, line).unwrap_or_else(|| line.to_owned());
        text.lines().map(readable).collect()
    }

    /// The lines of all of the ledger's ConfigMaps, as they are stored.
    pub async fn ledger_lines(&self) -> Vec<String> {
        let labelled = ListParams::default().labels(&format!("reloader.stakater.com/ledger={NAME}"));
        let objects = self.api::<ConfigMap>().list(&labelled).await;
        let objects = objects.expect("the ledger can be read").items;
        let data = objects.into_iter().filter_map(|object| object.data);
        let texts = data.filter_map(|mut data| data.remove("sources"));
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Waits until the ledger has exactly so many lines, and no restart is owed in it.
    pub async fn wait_for_ledger(&self, sources: usize) -> Vec<String> {
        let what = format!("a ledger of {sources} settled sources");
        eventually(PATIENCE, &what, async || -> Result<_, String> {
            let lines = self.ledger().await;
            let settled = lines.iter().filter(|line| line.split(' ').count() == 4).count();
            if lines.len() == sources && settled == sources {
                Ok(Some(lines))
            } else {
                Err(lines.join("\n"))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The line as it would be if nothing of it were hidden; `None` where the key is another one.
fn readable(key: &str, line: &str) -> Option<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let [kind, namespace, name, sealed, groups @ ..] = words.as_slice() else {
        return None;
    };
    let rest: Vec<&str> = [kind, namespace, name]
        .into_iter()
        .chain(groups)
        .copied()
        .collect();
    let hidden = reloader::ledger::open(key, sealed, &rest.join(" "))?;
    let (state, digests) = hidden.split_first()?;
    let mut digests = digests.chunks(24).map(|bytes| {
        let digest = Digest::from_exact_bytes(bytes).expect("24 bytes");
        digest.exact().to_string()
    });
    let mut text = format!("{kind} {namespace} {name}");
    if *state > 0 {
        text = format!("{text} {}", digests.next()?);
    }
    if *state != 1 {
        text.push_str(" absent");
    }
    let contents: Vec<String> = ["absent".to_owned()].into_iter().chain(digests).collect();
    for group in groups {
        let (group, names) = group.split_once('/')?;
        let (kind, running) = match group.split_once('=') {
            Some((kind, number)) => (kind, format!("={}", contents.get(number.parse::<usize>().ok()?)?)),
            None => (group, String::new()),
        };
        for name in names.split(',') {
            text = format!("{text} {kind}/{name}{running}");
        }
    }
    Some(text)
}
