//! Writes the manual pages of the program and of each of its commands: `reloader.1`, `reloader-explain.1` and so on.
//!
//! Input: a folder. Output: the pages. I/O: writes the folder.

use std::{env, fs, io, path::Path};

use anyhow::Context as _;
use clap::CommandFactory as _;
use reloader::args::Args;

fn main() -> anyhow::Result<()> {
    let folder = env::args_os().nth(1).context("usage: man FOLDER")?;
    let folder = Path::new(&folder);
    write_pages(folder).with_context(|| format!("cannot write to {}", folder.display()))
}

/// Writes the pages into the folder, which it makes.
fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command(), folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_command_has_a_page_that_the_first_one_names() {
        let folder = tempfile::tempdir().unwrap();
        // Made where it is missing.
        let folder = folder.path().join("man1");
        write_pages(&folder).unwrap();
        let entries = fs::read_dir(&folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let written: BTreeSet<String> = names.collect();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let first = read("reloader.1");
        let program = Args::command();
        let mut expected = BTreeSet::from(["reloader.1".to_owned()]);
        for command in program.get_subcommands() {
            let name = format!("reloader-{}", command.get_name());
            // roff's hyphens.
            let name_in_roff = name.replace('-', r"\-");
            assert!(
                first.contains(&format!("{name_in_roff}(1)")),
                "{name} is not in:\n{first}"
            );
            let page = read(&format!("{name}.1"));
            assert!(
                page.contains(&name_in_roff) && page.contains(".SH SYNOPSIS"),
                "{page}"
            );
            expected.insert(format!("{name}.1"));
        }
        assert!(expected.len() > 8, "{expected:?}");
        assert_eq!(written, expected);
    }

    #[test]
    fn the_pages_say_what_help_says() {
        let folder = tempfile::tempdir().unwrap();
        write_pages(folder.path()).unwrap();
        for (page, text) in [
            ("reloader.1", r"\-\-coalesce\-window"),
            ("reloader.1", "Exit status"),
            ("reloader-check.1", r"\-\-wait"),
            ("reloader-lint.1", "Exit status"),
        ] {
            let shown = fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(shown.contains(text), "{page} lacks {text}:\n{shown}");
        }
    }
}
