//! The README's table of permissions, compared with what is rendered.

use std::collections::BTreeSet;

use reloader::model::WorkloadKind;
use testbed::binaries::Component;

use super::grants::expand;
use crate::{
    helm::{only, profiles, render},
    program::settings,
    readme::section,
};

/// What the table calls the resource of a kind that a value names, which may be any.
const NAMED: [&str; 2] = ["its own", "a named kind"];

/// Where, API group, resource, verb.
type Permission = [String; 4];

/// Everything that some profile grants.
fn rendered() -> BTreeSet<Permission> {
    let mut permissions = BTreeSet::new();
    let profiles = profiles();
    let profiles = profiles.iter().map(|profile| ["--values", profile.as_str()]);
    // What no profile says, since the cluster decides it.
    for arguments in profiles.chain([["--set", "reloader.isOpenshift=true"]]) {
        let profile = arguments[1];
        let objects = render(Component::Helm, &arguments);
        let config = settings(only(&objects, "Deployment"), profile);
        let kinds = config.kinds();
        let roles = objects
            .iter()
            .filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role");
        let grants = roles.flat_map(|role| {
            let is_own = role["metadata"]["name"]
                .as_str()
                .unwrap()
                .ends_with("-metadata-role");
            expand(role, None).into_iter().map(move |grant| (is_own, grant))
        });
        for (is_own, grant) in grants {
            let is_named = kinds.iter().any(|kind| {
                matches!(kind, WorkloadKind::Custom(_))
                    && kind.group() == grant.group
                    && kind.plural() == grant.resource
            });
            let [group, resource] = match &*grant.group {
                _ if is_named => NAMED.map(str::to_owned),
                "" => ["core".to_owned(), grant.resource],
                group => [group.to_owned(), grant.resource],
            };
            let place = match (is_own, grant.name) {
                (false, None) => "watched",
                (true, None) => "own",
                (true, Some(_)) => "own, by name",
                (false, Some(name)) => panic!("{name} in every watched namespace"),
            };
            permissions.insert([place.to_owned(), group, resource, grant.verb]);
        }
    }
    permissions
}

/// Everything that the table has.
fn documented() -> BTreeSet<Permission> {
    let mut permissions = BTreeSet::new();
    for row in section("permissions").lines().skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [place, group, resources, verbs, when, reason] = cells[..] else {
            panic!("not six cells: {row}");
        };
        assert!(!when.is_empty() && !reason.is_empty(), "{row}");
        for resource in resources.split(", ") {
            for verb in verbs.split(", ") {
                let permission = [place, group, resource, verb].map(|text| text.replace('`', ""));
                assert!(
                    permissions.insert(permission.clone()),
                    "twice in the table: {permission:?}"
                );
            }
        }
    }
    permissions
}

#[test]
fn the_readme_documents_each_permission() {
    let (rendered, documented) = (rendered(), documented());
    let missing: Vec<_> = rendered.difference(&documented).collect();
    assert_eq!(
        missing,
        Vec::<&Permission>::new(),
        "granted, and not in the README's table"
    );
    let gone: Vec<_> = documented.difference(&rendered).collect();
    assert_eq!(
        gone,
        Vec::<&Permission>::new(),
        "in the README's table, and granted by no profile"
    );
}
