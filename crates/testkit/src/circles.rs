//! Whether the modules of a crate use each other in one direction: sources are read, and circles found.
//!
//! Modules of one folder are compared with each other. What stands below a module counts as that module, so a module and
//! its children may use each other as they like. What is there for tests only may use anything.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use self::source::{Source, read};

/// A module by the names that lead to it from the root of its crate; the root has none.
type Name = Vec<String>;

/// Modules of one folder that need each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circle {
    /// The module above them, as a path of its crate; empty for the root.
    pub folder: String,
    /// Their names.
    pub modules: BTreeSet<String>,
    /// Which file uses which, of all that makes them need each other.
    pub because: BTreeSet<(String, String)>,
}

/// The circles of a crate whose sources are in this folder.
///
/// # Panics
/// When a source cannot be read.
pub fn circles(src: &Path) -> Vec<Circle> {
    let mut texts = BTreeMap::new();
    collect(src, &[], &mut texts);
    assert!(texts.contains_key(&Vec::new()), "{} has no lib.rs", src.display());
    circles_of(&texts)
}

/// The texts of all modules below a folder.
fn collect(folder: &Path, above: &[String], texts: &mut BTreeMap<Name, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            collect(&path, &[above, &[stem]].concat(), texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_root = above.is_empty() && stem == "lib";
            // A program of its own, which only uses the crate.
            let is_program =
                above.is_empty() && stem == "main" || above.first().is_some_and(|of| of == "bin");
            if !is_program {
                let name = if is_root { Vec::new() } else { [above, &[stem]].concat() };
                texts.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
}

fn circles_of(texts: &BTreeMap<Name, String>) -> Vec<Circle> {
    let sources = texts.iter().map(|(name, text)| (name.clone(), read(text)));
    let mut sources: BTreeMap<Name, Source> = sources.collect();
    let for_tests: Vec<Name> = sources
        .iter()
        .flat_map(|(name, source)| source.for_tests.iter().map(|of| child(name, of)))
        .collect();
    sources.retain(|name, _| !for_tests.iter().any(|of| name.starts_with(of)));

    // By the module above: which of its modules uses which, and the files by which it does.
    let mut folders: BTreeMap<Name, Uses> = BTreeMap::new();
    let modules = Modules(sources);
    for (name, source) in &modules.0 {
        for path in &source.paths {
            let Some(target) = modules.meant(name, path, HOPS_MAX) else { continue };
            let shared = name.iter().zip(&target).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (name.get(shared), target.get(shared)) {
                let files = (name.join("/"), target.join("/"));
                let uses = folders.entry(name[..shared].to_vec()).or_default();
                uses.entry((one.clone(), other.clone())).or_default().insert(files);
            }
        }
    }
    folders.iter().flat_map(|(folder, uses)| circles_in(&folder.join("/"), uses)).collect()
}

/// Which module uses which, and the files by which it does.
type Uses = BTreeMap<(String, String), BTreeSet<(String, String)>>;

/// How often a name may stand for another name: a longer chain is a mistake of this check.
const HOPS_MAX: usize = 8;

fn child(of: &[String], name: &str) -> Name {
    [of, &[name.to_owned()]].concat()
}

/// All modules of a crate.
struct Modules(BTreeMap<Name, Source>);

impl Modules {
    /// The module that a path leads to which stands in module `at`; nothing for one of another crate.
    fn meant(&self, at: &[String], path: &[String], hops: usize) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.below(Vec::new(), rest, hops),
            "self" => self.below(at.to_vec(), rest, hops),
            "super" => self.below(at.split_last()?.1.to_vec(), rest, hops),
            name => {
                let is_child = self.0.contains_key(&child(at, name));
                if is_child {
                    self.below(at.to_vec(), path, hops)
                } else {
                    self.named(at, path, hops)
                }
            }
        }
    }

    /// The module that a path from here leads to.
    fn below(&self, mut here: Name, path: &[String], hops: usize) -> Option<Name> {
        for (at, next) in path.iter().enumerate() {
            if next == "super" {
                here.pop()?;
            } else if self.0.contains_key(&child(&here, next)) {
                here = child(&here, next);
            } else {
                // What a module has from elsewhere is used where it comes from; else it is its own.
                return self.named(&here, &path[at..], hops).or(Some(here));
            }
        }
        Some(here)
    }

    /// The module of something that module `here` has from elsewhere.
    fn named(&self, here: &[String], path: &[String], hops: usize) -> Option<Name> {
        let hops = hops.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        let source = self.0.get(here)?;
        if let Some(imported) = source.imports.get(first) {
            // `use name;` of another crate leads to itself.
            let whole = [imported.as_slice(), rest].concat();
            return (imported.first() != Some(first)).then(|| self.meant(here, &whole, hops))?;
        }
        source.globs.iter().find_map(|glob| {
            let of = self.meant(here, glob, hops).filter(|of| of != here)?;
            let is_child = self.0.contains_key(&child(&of, first));
            if is_child { self.below(of, path, hops) } else { self.named(&of, path, hops) }
        })
    }
}

/// The largest sets of modules in which each needs each other one.
fn circles_in(folder: &str, uses: &Uses) -> Vec<Circle> {
    let named = uses.keys().flat_map(|(one, other)| [one.as_str(), other.as_str()]);
    let mut left: BTreeSet<&str> = named.collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        left.iter().map(|module| (*module, reached(uses, module))).collect();
    let mut found = Vec::new();
    while let Some(module) = left.pop_first() {
        let is_mutual =
            |other: &&str| reached[module].contains(other) && reached[other].contains(module);
        let others: BTreeSet<&str> = left.iter().copied().filter(is_mutual).collect();
        if others.is_empty() {
            continue;
        }
        left.retain(|other| !others.contains(other));
        let modules: BTreeSet<String> =
            others.into_iter().chain([module]).map(str::to_owned).collect();
        let is_inside =
            |one: &String, other: &String| modules.contains(one) && modules.contains(other);
        let inside = uses.iter().filter(|((one, other), _)| is_inside(one, other));
        let because = inside.flat_map(|(_, files)| files.clone()).collect();
        found.push(Circle { folder: folder.to_owned(), modules, because });
    }
    found
}

/// All that a module needs, and what that needs.
fn reached<'a>(uses: &'a Uses, module: &'a str) -> BTreeSet<&'a str> {
    let (mut all, mut open) = (BTreeSet::new(), vec![module]);
    while let Some(next) = open.pop() {
        for (_, other) in uses.keys().filter(|(one, _)| one == next) {
            if all.insert(other.as_str()) {
                open.push(other);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
