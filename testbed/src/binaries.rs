//! The control plane's programs, and tools that tests of the chart need: found, or built from source.
//!
//! Input: which ones; output: their paths. I/O: reads the environment and `go.mod` files, runs `go build`, writes the cache folder.
//!
//! They are built from the Go modules committed under `testbed/binaries`, which pin every dependency by hash (`go.sum`); their
//! versions are read from the `go.mod` files, so a version is written down in one place.

mod build;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One program of the control plane, or one that works with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The built-in controllers: Deployments make `ReplicaSets` make Pods, namespaces get their default `ServiceAccount`.
    ControllerManager,
    /// Gives pods a node.
    Scheduler,
    /// Plays the nodes and pods (<https://kwok.sigs.k8s.io>).
    Kwok,
    /// What users type.
    Kubectl,
    /// Helm 4.
    Helm,
    /// Helm 3, which many still install charts with.
    Helm3,
    /// Runs a chart's own tests (<https://github.com/helm-unittest/helm-unittest>), with Helm 3's engine.
    HelmUnittest,
    /// What `kubectl apply --kustomize` builds overlays with (<https://kustomize.io>).
    Kustomize,
    /// Prometheus' checker of rules and expressions.
    Promtool,
}

/// A committed Go module that pins the version of some programs.
struct Module {
    /// Its folder under `testbed/binaries`, and its name in the cache.
    name: &'static str,
    /// The required module whose version counts.
    requires: &'static str,
}

impl Module {
    const fn new(name: &'static str, requires: &'static str) -> Self {
        Self { name, requires }
    }
}

impl Component {
    /// What tests of charts need beside a control plane.
    pub const TOOLS: [Self; 6] = [
        Self::Helm,
        Self::Helm3,
        Self::HelmUnittest,
        Self::Kubectl,
        Self::Kustomize,
        Self::Promtool,
    ];
    /// All of the control plane.
    pub const ALL: [Self; 5] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
    ];

    /// File name of the program.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Kubectl => "kubectl",
            Self::Helm | Self::Helm3 => "helm",
            Self::HelmUnittest => "helm-unittest",
            Self::Kustomize => "kustomize",
            Self::Promtool => "promtool",
        }
    }

    /// The Go package it is built from.
    fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::ApiServer => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::ControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Scheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
            Self::Helm3 => "helm.sh/helm/v3/cmd/helm",
            Self::HelmUnittest => "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
            Self::Kustomize => "sigs.k8s.io/kustomize/kustomize/v5",
            Self::Promtool => "github.com/prometheus/prometheus/cmd/promtool",
        }
    }

    /// What `go build -tags` leaves out of it.
    fn build_tags(self) -> &'static str {
        match self {
            // Without clients for every cloud's service discovery it is 54 MB instead of 86, and built in half the time.
            Self::Promtool => "remove_all_sd",
            _ => "",
        }
    }

    fn module(self) -> Module {
        match self {
            Self::Etcd => Module::new("etcd", "go.etcd.io/etcd/server/v3"),
            Self::ApiServer | Self::ControllerManager | Self::Scheduler | Self::Kubectl => {
                Module::new("kubernetes", "k8s.io/kubernetes")
            }
            Self::Kwok => Module::new("kwok", "sigs.k8s.io/kwok"),
            Self::Helm => Module::new("helm", "helm.sh/helm/v4"),
            Self::Helm3 => Module::new("helm3", "helm.sh/helm/v3"),
            Self::HelmUnittest => Module::new("helm-unittest", "github.com/helm-unittest/helm-unittest"),
            Self::Kustomize => Module::new("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
            Self::Promtool => Module::new("prometheus", "github.com/prometheus/prometheus"),
        }
    }

    /// The folder of its Go module.
    fn module_folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("binaries")
            .join(self.module().name)
    }

    /// Its version, without the leading `v`: "1.36.3".
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Build`] if the module's `go.mod` cannot be read or does not name it.
    pub fn version(self) -> Result<String> {
        let go_mod = self.module_folder().join("go.mod");
        let text =
            std::fs::read_to_string(&go_mod).map_err(Error::io(format!("read {}", go_mod.display())))?;
        let module = self.module().requires;
        required_version(&text, module)
            .map(str::to_owned)
            .ok_or_else(|| Error::Build {
                binary: self.binary(),
                output: format!("{} requires no version of {module}", go_mod.display()),
            })
    }
}

/// The version, without `v`, that the text of a `go.mod` requires of `module`.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next()? == module).then(|| words.next()?.strip_prefix('v'))?
    })
}

/// Where programs come from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// A folder the user filled; nothing is built.
    Assets(PathBuf),
    /// The cache folder, filled by `go build`.
    Cache(PathBuf),
}

impl Source {
    /// As the environment says; `get` reads a variable.
    fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let folder = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        folder("KUBEBUILDER_ASSETS").map_or_else(|| Self::cache(get), Self::Assets)
    }

    /// Where what is built is kept; `get` reads a variable.
    fn cache(get: impl Fn(&str) -> Option<String>) -> Self {
        let folder = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self::Cache(folder("RELOADER_TESTBED_CACHE").unwrap_or_else(|| {
            folder("XDG_CACHE_HOME")
                .or_else(|| folder("HOME").map(|home| home.join(".cache")))
                .unwrap_or_else(std::env::temp_dir)
                .join("reloader-testbed")
        }))
    }

    fn find_or_build(&self, component: Component) -> Result<PathBuf> {
        let binary = component.binary();
        match self {
            Self::Assets(folder) => {
                let path = folder.join(binary);
                if path.is_file() {
                    Ok(path)
                } else {
                    Err(Error::MissingAsset {
                        folder: folder.clone(),
                        binary,
                    })
                }
            }
            Self::Cache(folder) => {
                let version = component.version()?;
                let path = folder
                    .join(format!("{}-{version}", component.module().name))
                    .join(binary);
                if !path.is_file() {
                    build::build(component, &version, &path)?;
                }
                Ok(path)
            }
        }
    }
}

/// Paths of programs that are there.
#[derive(Clone, Debug)]
pub struct Binaries {
    paths: BTreeMap<Component, PathBuf>,
}

impl Binaries {
    /// Finds the programs and builds those that are missing, with progress on standard error. Blocks, for minutes if it builds.
    ///
    /// `KUBEBUILDER_ASSETS`, if set, is the only place looked at (the convention of controller-runtime's envtest); otherwise the cache
    /// folder. Several processes may call this at once: one builds, the others wait for it.
    ///
    /// # Errors
    /// [`Error::MissingAsset`], [`Error::NoGo`], [`Error::Build`] or [`Error::Io`].
    pub fn locate(components: &[Component]) -> Result<Self> {
        let get = |name: &str| std::env::var(name).ok();
        let (source, cache) = (Source::from_env(get), Source::cache(get));
        // Folders made for envtest hold a control plane, no tools.
        let source_of = |component| {
            if Component::TOOLS.contains(component) {
                &cache
            } else {
                &source
            }
        };
        let paths = components
            .iter()
            .map(|c| Ok((*c, source_of(c).find_or_build(*c)?)))
            .collect::<Result<_>>()?;
        Ok(Self { paths })
    }

    /// Where `component` is, if it was located.
    pub fn path(&self, component: Component) -> Option<&Path> {
        self.paths.get(&component).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Source {
        Source::from_env(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn the_environment_says_where_programs_are() {
        let cache = |path: &str| Source::Cache(path.into());
        assert_eq!(from(&[("HOME", "/h")]), cache("/h/.cache/reloader-testbed"));
        assert_eq!(
            from(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]),
            cache("/x/reloader-testbed")
        );
        assert_eq!(
            from(&[("XDG_CACHE_HOME", "/x"), ("RELOADER_TESTBED_CACHE", "/r")]),
            cache("/r")
        );
        assert_eq!(
            from(&[("RELOADER_TESTBED_CACHE", "/r"), ("KUBEBUILDER_ASSETS", "/k")]),
            Source::Assets("/k".into())
        );
        assert_eq!(
            from(&[("HOME", "/h"), ("KUBEBUILDER_ASSETS", "")]),
            cache("/h/.cache/reloader-testbed")
        );
    }

    #[test]
    fn an_assets_folder_only_needs_what_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("etcd"), "").unwrap();
        let assets = Source::Assets(folder.path().to_owned());
        assert_eq!(
            assets.find_or_build(Component::Etcd).unwrap(),
            folder.path().join("etcd")
        );
        let error = assets.find_or_build(Component::Kwok).unwrap_err().to_string();
        assert!(
            error.contains("has no kwok") && error.contains(&folder.path().display().to_string()),
            "{error}"
        );
    }

    #[test]
    fn versions_come_from_the_committed_modules() {
        for component in Component::ALL.into_iter().chain(Component::TOOLS) {
            let version = component.version().unwrap();
            assert!(
                version.split('.').count() == 3 && !version.starts_with('v'),
                "{component:?} {version}"
            );
        }
        assert_eq!(required_version("require a.b/c v1.2.3\n", "a.b/c"), Some("1.2.3"));
        assert_eq!(
            required_version(
                "require (\n\ta.b/c/d v4.0.0\n\ta.b/c v1.2.3 // indirect\n)",
                "a.b/c"
            ),
            Some("1.2.3")
        );
        assert_eq!(required_version("module x\n", "a.b/c"), None);
    }
}
