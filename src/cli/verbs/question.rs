//! Reads which object a question is about.
//!
//! Input: the words of the command line. Output: kinds and names. I/O: none.

use super::error::VerbError;
use crate::{
    args::ObjectArgs,
    cli::kinds::workload_kinds,
    explain::{source_kind, workload_kind},
    model::{SourceKind, SourceRef, WorkloadKind, is_dns_subdomain},
};

/// A workload.
pub(super) fn workload(args: &ObjectArgs) -> Result<(WorkloadKind, String), VerbError> {
    let (kind, name) = split(&args.object)?;
    let kinds = workload_kinds(&args.workload_kind)
        .map_err(|error| VerbError::Usage(format!("--workload-kind: {error}")))?;
    if let Some(kind) = workload_kind(kind, &kinds) {
        return Ok((kind, name.to_owned()));
    }
    let known: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    Err(VerbError::Usage(format!(
        "{kind:?} is no kind of workload; these are: {}. --workload-kind names others",
        known.join(", ")
    )))
}

/// A source.
pub(super) fn source(args: &ObjectArgs) -> Result<SourceRef, VerbError> {
    let (kind, name) = split(&args.object)?;
    if let Some(kind) = source_kind(kind) {
        return Ok(SourceRef::new(kind, name));
    }
    let known = SourceKind::ALL.map(SourceKind::as_str).join(", ");
    Err(VerbError::Usage(format!(
        "{kind:?} is no kind of source; these are: {known}"
    )))
}

/// `KIND/NAME`, or the two apart.
fn split(words: &[String]) -> Result<(&str, &str), VerbError> {
    let parts = match words {
        [one] => one.split_once('/'),
        [kind, name] => Some((&**kind, &**name)),
        _ => None,
    };
    match parts {
        Some((kind, name)) if is_dns_subdomain(name) => Ok((kind, name)),
        Some((_, name)) => Err(VerbError::Usage(format!("no object can be called {name:?}"))),
        None => Err(VerbError::Usage(format!(
            "{:?} is not of the form KIND/NAME, as deployment/web",
            words.join(" ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::args::{ClusterArgs, CsvList, Output};

    fn args(words: &[&str]) -> ObjectArgs {
        ObjectArgs {
            object: words.iter().map(|word| (*word).to_owned()).collect(),
            output: Output::Text,
            workload_kind: vec![CsvList(vec!["example.com/v1/Proxy".to_owned()])],
            cluster: ClusterArgs::default(),
        }
    }

    #[rstest]
    #[case(&["deploy/web"], "Deployment")]
    #[case(&["statefulsets.apps", "web"], "StatefulSet")]
    #[case(&["proxy/web"], "Proxy")]
    fn workloads_are_named_as_for_kubectl(#[case] words: &[&str], #[case] kind: &str) {
        let (found, name) = workload(&args(words)).unwrap();
        assert_eq!((found.as_str(), &*name), (kind, "web"));
    }

    #[rstest]
    #[case(&["web"])]
    #[case(&["pod/web"])]
    #[case(&["deploy/we/b"])]
    #[case(&["deploy/../status"])]
    #[case(&["deploy/"])]
    fn what_names_no_workload_is_a_mistake_of_the_user(#[case] words: &[&str]) {
        assert!(matches!(workload(&args(words)), Err(VerbError::Usage(_))));
    }

    #[test]
    fn sources_are_named_too() {
        assert_eq!(source(&args(&["cm/app"])).unwrap().kind, SourceKind::ConfigMap);
        assert!(matches!(source(&args(&["deploy/app"])), Err(VerbError::Usage(_))));
    }
}
