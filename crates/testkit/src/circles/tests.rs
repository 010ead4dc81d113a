use super::*;

/// Sources by their names, `a/b` for a module below `a`, and the root without a name.
fn texts(of: &[(&str, &str)]) -> BTreeMap<Name, String> {
    let name =
        |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    of.iter().map(|(path, text)| (name(path), (*text).to_owned())).collect()
}

/// Folder and modules of each circle.
fn found(of: &[(&str, &str)]) -> Vec<String> {
    circles_of(&texts(of))
        .into_iter()
        .map(|Circle { folder, modules, .. }| {
            format!("{folder}: {}", modules.into_iter().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for (one, other) in [
        ("use crate::b::X;", "use crate::a::Y;"),
        ("use super::b::X;", "use super::{a::Y, c};"),
        ("use crate::{c, b::{self, X}};", "fn f() -> crate::a::Y { loop {} }"),
        ("use crate::b as other;", "use crate::*; fn f() { super::a::g() }"),
        // Through a third one.
        ("use crate::c::X;", "use crate::a::Y;"),
        // By a name that the root has from there.
        ("use crate::FromB;", "use crate::a;"),
    ] {
        let root = "pub use b::FromB; mod a; mod b; mod c;";
        let sources = [("", root), ("a", one), ("b", other), ("c", "use crate::b;")];
        let circles = found(&sources);
        let is_found = circles.len() == 1 && circles[0].starts_with(": a b");
        assert!(is_found, "{one} {other}: {circles:?}");
    }
}

#[test]
fn what_stands_below_a_module_counts_as_the_module() {
    let sources = [
        ("", ""),
        ("a", "mod x; mod y; use self::x::X;"),
        ("a/x", "use super::Y; use crate::b::c::Z;"),
        ("a/y", "use super::x::X;"),
        ("b", "mod c;"),
        ("b/c", "use crate::a::y::Y;"),
    ];
    assert_eq!(found(&sources), [": a b"]);
    let inside = [("", ""), ("a", ""), ("a/x", "use super::y::Y;"), ("a/y", "use crate::a::x;")];
    assert_eq!(found(&inside), ["a: x y"]);
}

#[test]
fn a_name_that_comes_with_all_of_another_module_leads_there() {
    let sources = [
        ("", "mod host; pub use host::*;"),
        ("host", "pub mod a; pub mod b;"),
        ("host/a", "use crate::b::X;"),
        ("host/b", "use crate::a::Y;"),
    ];
    assert_eq!(found(&sources), ["host: a b"]);
}

#[test]
fn parents_and_what_is_for_tests_may_use_anything() {
    let sources = [
        ("", "mod a; mod b; #[cfg(test)] mod t;"),
        ("a", "mod x; use self::x::X; /// See [`crate::b::Y`].\nconst T: &str = \"crate::b\";"),
        ("a/x", "use super::Y;"),
        (
            "b",
            "use crate::a::X;\n#[cfg(test)]\npub fn f(of: [u8; 2]) { crate::t::g() }\n#[cfg(test)]\nmod tests;",
        ),
        ("b/tests", "use crate::t;"),
        ("t", "use crate::{a, b};"),
    ];
    assert_eq!(found(&sources), [""; 0]);
}

/// What is known and is to become less: crate, folder, and the modules that need each other there.
const KNOWN: &[(&str, &str, &[&str])] = &[
    // Parts of one type, each in a file of its own that does a subject of it.
    (
        "endpoint",
        "",
        &[
            "account",
            "answers",
            "asked",
            "audience",
            "connection",
            "endpoint",
            "epochs",
            "gaps",
            "grants",
            "handed",
            "lacks",
            "offers",
            "out",
            "outbox",
            "outgoing",
            "pace",
            "people",
            "receipts",
            "receive",
            "removed",
            "repair",
            "resend",
            "rollback",
            "rooms",
            "settings",
            "state",
            "trace",
            "trust",
            "views",
        ],
    ),
    (
        "talk",
        "",
        &[
            "awaited",
            "feeds",
            "files",
            "grant",
            "history",
            "identity",
            "jobs",
            "noise",
            "password",
            "reply",
            "rooms",
            "seen",
            "session",
            "talk",
            "unstarted",
        ],
    ),
    // The command line carries what it starts, and what is started reads the command line.
    (
        "client",
        "",
        &[
            "agent_host",
            "chat",
            "config",
            "diagnostics",
            "emulation",
            "first_run",
            "notify",
            "start",
            "story",
            "task",
            "verb",
        ],
    ),
    ("client", "config", &["file", "screen"]),
    ("server", "relay", &["link", "transfers"]),
];

/// Goal: a module can be read when those that it uses are known.
#[test]
fn no_two_modules_need_each_other() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names = fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(
        names.contains("server") && names.contains("protocol") && names.len() > 12,
        "{names:?}"
    );
    let mut open: Vec<_> = KNOWN.iter().collect();
    for name in &names {
        for Circle { folder, modules, because } in circles(&crates.join(name).join("src")) {
            let is_it = |known: &&(&str, &str, &[&str])| {
                (known.0, known.1) == (name.as_str(), folder.as_str())
                    && known.2.iter().any(|module| modules.contains(*module))
            };
            let at = open.iter().position(is_it);
            let known: BTreeSet<&str> =
                at.map(|at| open.remove(at).2).unwrap_or_default().iter().copied().collect();
            let modules: BTreeSet<&str> = modules.iter().map(String::as_str).collect();
            let (new, left) = (&modules - &known, &known - &modules);
            let place = format!("crates/{name}/src/{folder}");
            assert!(new.is_empty(), "{place}: {new:?} are in a circle now: {because:#?}");
            assert!(
                left.is_empty(),
                "{place}: {left:?} are in no circle any more; take them out of KNOWN"
            );
        }
    }
    assert!(open.is_empty(), "these circles are open; take them out of KNOWN: {open:?}");
}

/// Goal: the check reads real sources, and sees one line that should not be there.
#[test]
fn a_circle_that_is_planted_into_a_real_crate_is_found() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("oplog/src");
    let mut texts = BTreeMap::new();
    collect(&src, &[], &mut texts);
    assert_eq!(circles_of(&texts), []);
    let name = vec!["operation".to_owned()];
    texts.get_mut(&name).unwrap().push_str("\nuse crate::log::OperationLog as Planted;\n");
    let circles = circles_of(&texts);
    assert!(circles.iter().any(|circle| circle.modules.contains("operation")), "{circles:?}");
}
