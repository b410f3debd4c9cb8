//! The program's two names: `reloader`, and `kubectl-reloader`, which kubectl runs as `kubectl reloader`.
//!
//! Input: the items of a command line, the definition of all flags. Output: the one that they are parsed by. I/O: none.

use std::{ffi::OsString, path::Path};

use clap::Command;

/// What the plugin's file is called; on some systems with an ending.
const PLUGIN: &str = "kubectl-reloader";

const PLUGIN_ABOUT: &str = "Shows why Reloader restarts workloads or not, and how it is doing";

/// The definition for a command line whose first item is the program's name.
///
/// As kubectl's plugin it has no flags of the controller, and does nothing without a command: a user's kubeconfig must not
/// start a controller by mistake. For a command of the controller's own binary the variables of the controller's flags do
/// not count.
pub(super) fn command(command: Command, items: &[OsString]) -> Command {
    let is_plugin = items.first().is_some_and(is_plugin);
    if is_plugin {
        return command
            .bin_name("kubectl reloader")
            .about(PLUGIN_ABOUT)
            .long_about(PLUGIN_ABOUT)
            .after_help(None::<&str>)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .mut_args(|arg| {
                let is_own = matches!(arg.get_id().as_str(), "help" | "version");
                arg.env(None::<&str>).hide(!is_own)
            });
    }
    let first = items.get(1).and_then(|item| item.to_str());
    let is_command = first.is_some_and(|first| command.find_subcommand(first).is_some() || first == "help");
    if is_command {
        command.mut_args(|arg| arg.env(None::<&str>))
    } else {
        command
    }
}

fn is_plugin(program: &OsString) -> bool {
    let stem = Path::new(program).file_stem();
    stem.is_some_and(|stem| stem == PLUGIN || stem == "kubectl_reloader")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{Args, Command as Verb};

    fn parse(items: &[&str]) -> Result<Args, clap::Error> {
        Args::from_command_line(items)
    }

    #[rstest]
    #[case("kubectl-reloader")]
    #[case("/usr/local/bin/kubectl-reloader")]
    #[case("kubectl-reloader.exe")]
    fn the_plugin_has_kubectls_usage(#[case] program: &str) {
        let help = parse(&[program, "--help"]).unwrap_err().to_string();
        assert!(help.contains("Usage: kubectl reloader"), "{help}");
        assert!(!help.contains("--namespaces-to-ignore"), "{help}");
        let help = parse(&[program, "explain", "--help"]).unwrap_err().to_string();
        assert!(help.contains("Usage: kubectl reloader explain"), "{help}");
    }

    #[test]
    fn the_plugin_does_not_start_a_controller() {
        let error = parse(&["kubectl-reloader"]).unwrap_err();
        assert!(error.use_stderr(), "{error}");
        assert!(parse(&["reloader"]).unwrap().command.is_none());
    }

    #[rstest]
    #[case(&["reloader", "explain", "deploy/web", "-n", "shop"])]
    #[case(&["kubectl-reloader", "explain", "deploy", "web", "-n=shop"])]
    fn a_verb_is_read(#[case] items: &[&str]) {
        let Some(Verb::Explain(args)) = parse(items).unwrap().command else {
            panic!("no explain");
        };
        assert_eq!(args.object.object.join("/"), "deploy/web");
        assert_eq!(args.object.cluster.namespace.as_deref(), Some("shop"));
    }

    #[rstest]
    #[case(&["reloader", "explain"])]
    #[case(&["reloader", "explain", "a", "b", "c"])]
    #[case(&["reloader", "status", "-A", "-n", "shop"])]
    #[case(&["reloader", "check", "--wait", "5"])]
    fn a_verb_that_cannot_be_read_is_an_error(#[case] items: &[&str]) {
        assert!(parse(items).unwrap_err().use_stderr());
    }

    #[test]
    fn every_verb_names_its_exit_statuses() {
        for verb in [
            "explain",
            "status",
            "check",
            "history",
            "simulate",
            "dashboard",
            "lint",
        ] {
            let help = parse(&["reloader", verb, "--help"]).unwrap_err().to_string();
            assert!(help.contains("Exit status: 0"), "{verb}: {help}");
        }
    }
}
