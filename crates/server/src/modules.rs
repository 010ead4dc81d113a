//! The modules of this crate use each other in one direction. Here their sources are read, and circles found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Sources without tests, which may use anything.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The modules behind each `crate::`, also those of a list.
fn used(source: &str) -> BTreeSet<String> {
    let code = source.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(first_word(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(first_word(item.trim()));
                    item.clear();
                }
                c => item.push(c),
            }
        }
        found.insert(first_word(item.trim()));
    }
    found
}

/// What each module uses of the others.
fn uses(folder: &Path) -> Uses {
    let mut graph = Uses::new();
    for path in sources(folder) {
        let below = path.strip_prefix(folder).unwrap().with_extension("");
        let module = below.iter().next().unwrap().to_str().unwrap().to_owned();
        // These two put everything together.
        if module != "lib" && module != "main" {
            let used = used(&fs::read_to_string(&path).unwrap());
            graph.entry(module).or_default().extend(used);
        }
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for (module, used) in &mut graph {
        used.retain(|other| other != module && modules.contains(other));
    }
    graph
}

/// What is left when again and again each module is taken away that uses none of the others.
fn circle(mut graph: Uses) -> Uses {
    while let Some(free) = graph.iter().find(|(_, used)| used.is_empty()) {
        let free = free.0.clone();
        graph.remove(&free);
        for used in graph.values_mut() {
            used.remove(&free);
        }
    }
    graph
}

#[test]
fn no_two_modules_need_each_other() {
    let graph = uses(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(graph.len() > 40 && graph["session"].contains("shared"), "{graph:?}");
    let circle = circle(graph);
    assert!(circle.is_empty(), "these use each other: {circle:#?}");
}

#[test]
fn a_circle_is_found() {
    let of = |used: &[&str]| used.iter().map(|&used| used.to_owned()).collect();
    let graph = [("a", of(&["b"])), ("b", of(&["c"])), ("c", of(&["b"])), ("d", of(&[]))];
    let left = circle(graph.into_iter().map(|(module, used)| (module.to_owned(), used)).collect());
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let read =
        used("use crate::{\n    a::{self, x},\n    b,\n};\n// crate::c\nfn f() { crate::d::g() }");
    assert_eq!(read.into_iter().collect::<Vec<_>>(), ["", "a", "b", "d"]);
}
