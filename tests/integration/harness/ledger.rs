//! The controller's ledger, as a test sees it.

use k8s_openapi::api::core::v1::ConfigMap;
use testbed::{Entry, eventually};

use super::{PATIENCE, World};

/// Its first ConfigMap, where `RELOADER_DEPLOYMENT_NAME` is not set.
pub const NAME: &str = "reloader-ledger";

/// Whether the request is about the ledger. The audit log does not tell the name of an object that is being created;
/// the controller creates no other ConfigMap.
pub fn is_ledger(entry: &Entry) -> bool {
    entry.resource == "configmaps"
        && (entry.name.starts_with(NAME) || entry.name.is_empty() && entry.verb == "create")
}

impl World {
    /// The ledger's lines.
    pub async fn ledger(&self) -> Vec<String> {
        let object = self
            .api::<ConfigMap>()
            .get_opt(NAME)
            .await
            .expect("the ledger can be read");
        let text = object
            .and_then(|object| object.data?.remove("sources"))
            .unwrap_or_default();
        text.lines().map(str::to_owned).collect()
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
