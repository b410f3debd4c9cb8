//! Files that use each other in a circle: none of them can be read, tested or moved without the others.
//!
//! Input: all files. Output: one text for each circle. I/O: none.
//!
//! An arrow leads from a file to the file that *defines* what it names, however many `pub use` lie between. To declare a
//! module or to hand on its items is no use of it, so a face (`queue.rs` of `queue/`) that only does so is in no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    paths::{Names, Written, names},
    source::{SourceFile, code},
};

/// Who uses whom, and which names: by the paths of the two files.
type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

/// Every circle: its files, and the names that tie each to the next.
pub fn circles(files: &[SourceFile]) -> Vec<String> {
    let arrows = arrows(files);
    let (mut texts, mut in_circles) = (Vec::new(), BTreeSet::new());
    for file in files {
        if in_circles.contains(&file.path) {
            continue;
        }
        let (reached, reaching) = (
            reach(&arrows, &file.path, true),
            reach(&arrows, &file.path, false),
        );
        let circle: BTreeSet<String> = reached.intersection(&reaching).cloned().collect();
        if circle.is_empty() {
            continue;
        }
        let ties = arrows
            .iter()
            .filter(|((from, to), _)| circle.contains(from) && circle.contains(to))
            .map(|((from, to), names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("\n  {from} -> {to}: {}", names.join(", "))
            });
        texts.push(format!(
            "a circle of {} files:{}",
            circle.len(),
            ties.collect::<String>()
        ));
        in_circles.extend(circle);
    }
    texts
}

/// The files that arrows lead to from there; those that lead there, where not `forward`.
fn reach(arrows: &Arrows, start: &str, forward: bool) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start.to_owned()];
    while let Some(at) = next.pop() {
        for (from, to) in arrows.keys() {
            let (from, to) = if forward { (from, to) } else { (to, from) };
            if *from == at && reached.insert(to.clone()) {
                next.push(to.clone());
            }
        }
    }
    reached
}

fn arrows(files: &[SourceFile]) -> Arrows {
    let house = House::of(files);
    let mut arrows = Arrows::new();
    for (module, (file, names)) in &house.modules {
        for path in names.used() {
            if let Some((to, name)) = house.home(module, path, 0).filter(|(to, _)| to != file) {
                arrows.entry((file.clone(), to)).or_default().insert(name);
            }
        }
    }
    arrows
}

impl Names {
    /// What it names other than to hand it on.
    fn used(&self) -> impl Iterator<Item = &Written> {
        let is_used = |name: &str| !self.reexported.contains(name) || self.words.contains(name);
        let imports = self.imports.iter().filter(move |(name, _)| is_used(name));
        imports
            .map(|(_, path)| path)
            .chain(&self.globs)
            .chain(&self.paths)
    }
}

/// Every module of the crate by its path from the root, with its file.
struct House {
    modules: BTreeMap<Written, (String, Names)>,
}

impl House {
    fn of(files: &[SourceFile]) -> Self {
        let mut modules = BTreeMap::new();
        for file in files {
            let path = file.path.trim_start_matches("src/").trim_end_matches(".rs");
            let root: Written = match path {
                // The binary is a crate of its own, above all others.
                "main" => continue,
                "lib" => Written::new(),
                _ => path.split('/').map(str::to_owned).collect(),
            };
            for (inner, names) in names(&code(&file.text)) {
                let module = [root.clone(), inner].concat();
                modules.insert(module, (file.path.clone(), names));
            }
        }
        Self { modules }
    }

    /// The file that defines what the path names as it stands in that module, and the item's name; `None`: nothing of
    /// this crate.
    fn home(&self, module: &[String], path: &[String], depth: usize) -> Option<(String, String)> {
        // A `use` that leads back to itself does not compile; a text can hold one all the same.
        if depth > 16 {
            return None;
        }
        let (_, names) = self.modules.get(module)?;
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Written::new(), rest),
            "self" => (module.to_vec(), rest),
            "super" => (module.split_last()?.1.to_vec(), rest),
            _ if self.modules.contains_key(&[module, &path[..1]].concat()) => (module.to_vec(), path),
            _ if names.defined.contains(first) => (module.to_vec(), path),
            name => {
                let import = names.imports.get(name).filter(|import| *import != path)?;
                return self.home(module, &[import, rest].concat(), depth + 1);
            }
        };
        while let Some((next, tail)) = rest.split_first() {
            if next == "super" {
                at.pop();
            } else if self.modules.contains_key(&[&at[..], &rest[..1]].concat()) {
                at.push(next.clone());
            } else {
                break;
            }
            rest = tail;
        }
        let (file, names) = self.modules.get(&at)?;
        let Some(name) = rest.first().filter(|name| !names.defined.contains(*name)) else {
            let name = rest.first().or(at.last());
            return Some((file.clone(), name.cloned().unwrap_or_default()));
        };
        if let Some(import) = names.imports.get(name) {
            return self.home(&at, &[import, &rest[1..]].concat(), depth + 1);
        }
        let mut globs = names.globs.iter().chain(&names.reexported_globs);
        let from_glob = globs.find_map(|glob| {
            let (file, _) = self.home(&at, glob, depth + 1)?;
            let defines = |(home, names): &(String, Names)| *home == file && names.defined.contains(name);
            self.modules.values().any(defines).then_some(file)
        });
        Some((from_glob.unwrap_or_else(|| file.clone()), name.clone()))
    }
}
