//! stub

/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys {
    /// stub
    pub auto: String,
    /// stub
    pub configmap_auto: String,
    /// stub
    pub secret_auto: String,
    /// stub
    pub configmap_reload: String,
    /// stub
    pub secret_reload: String,
    /// stub
    pub search: String,
    /// stub
    pub match_: String,
    /// stub
    pub ignore: String,
}

impl Default for AnnotationKeys {
    fn default() -> Self {
        Self {
            auto: "reloader.stakater.com/auto".to_owned(),
            configmap_auto: "configmap.reloader.stakater.com/auto".to_owned(),
            secret_auto: "secret.reloader.stakater.com/auto".to_owned(),
            configmap_reload: "configmap.reloader.stakater.com/reload".to_owned(),
            secret_reload: "secret.reloader.stakater.com/reload".to_owned(),
            search: "reloader.stakater.com/search".to_owned(),
            match_: "reloader.stakater.com/match".to_owned(),
            ignore: "reloader.stakater.com/ignore".to_owned(),
        }
    }
}
/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptIn;
/// stub
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// stub
    No,
}
