//! One manual page for a program and all its commands.

use std::collections::HashSet;
use std::io;

use clap::builder::StyledStr;
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::{COMMON, Examples, below, of};

/// A part of a manual page beside what clap knows.
#[derive(Debug)]
pub struct Section<'a> {
    /// Its heading, in capitals.
    pub heading: &'a str,
    /// Terms, and what each means.
    pub rows: Vec<(String, String)>,
}

/// Writes the manual page of a program in roff: usage, options, every command with its own options and
/// examples, then the sections.
pub fn page(
    mut command: Command,
    examples: &Examples,
    sections: &[Section<'_>],
    output: &mut impl io::Write,
) -> io::Result<()> {
    command.build();
    let man = Man::new(command.clone());
    man.render_title(output)?;
    man.render_name_section(output)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(usage(&mut command))]);
    roff.to_writer(output)?;
    man.render_description_section(output)?;
    man.render_options_section(output)?;

    let mut roff = Roff::new();
    let known: HashSet<String> =
        command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
    roff.control("SH", ["COMMANDS"]);
    commands(&mut roff, &mut command, "", examples, &known);
    if let Some(lines) = of(examples, "") {
        roff.control("SH", ["EXAMPLES"]);
        as_typed(&mut roff, lines);
    }
    for Section { heading, rows } in sections {
        roff.control("SH", [*heading]);
        for (term, meaning) in rows {
            row(&mut roff, term, meaning);
        }
    }
    roff.to_writer(output)
}

/// Every command below this one that does something, in order.
fn commands(
    roff: &mut Roff,
    command: &mut Command,
    path: &str,
    examples: &Examples,
    known: &HashSet<String>,
) {
    for sub in command.get_subcommands_mut() {
        if sub.is_hide_set() || sub.get_name() == "help" {
            continue;
        }
        let path = below(path, sub.get_name());
        if sub.has_subcommands() {
            commands(roff, sub, &path, examples, known);
        }
        if sub.is_subcommand_required_set() {
            continue;
        }
        let heading = usage(sub);
        roff.control("SS", [heading.as_str()]);
        roff.text([roman(sub.get_about().map(StyledStr::to_string).unwrap_or_default())]);
        let is_shared = |arg: &Arg| {
            let is_common = arg.is_global_set() || arg.get_help_heading() == Some(COMMON);
            (is_common || arg.get_id() == "help") && known.contains(arg.get_id().as_str())
        };
        let is_own = |arg: &&Arg| !arg.is_hide_set() && !is_shared(arg);
        for arg in sub.get_arguments().filter(is_own) {
            row(roff, &term(arg), &meaning(arg));
        }
        if let Some(lines) = of(examples, &path) {
            roff.control("PP", []);
            as_typed(roff, lines);
        }
    }
}

/// How a command is written, without the word before it.
fn usage(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    usage.strip_prefix("Usage: ").unwrap_or(&usage).trim_end().to_owned()
}

fn row(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}

/// Lines as they are typed, each on a line of its own.
fn as_typed(roff: &mut Roff, lines: &str) {
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

/// How an argument is written.
fn term(arg: &Arg) -> String {
    match arg.get_short() {
        Some(short) => format!("-{short}, {arg}"),
        None => arg.to_string(),
    }
}

/// What an argument means, what it can be and what it is when it is not given.
fn meaning(arg: &Arg) -> String {
    let takes_values = arg.get_action().takes_values();
    let help = arg.get_help().map(StyledStr::to_string);
    let possible = arg.get_possible_values();
    let possible = possible.iter().filter(|value| takes_values && !value.is_hide_set());
    let possible: Vec<&str> = possible.map(clap::builder::PossibleValue::get_name).collect();
    let default = arg.get_default_values().iter().filter(|_| takes_values);
    let default: Vec<_> = default.map(|value| value.to_string_lossy()).collect();
    let env = arg.get_env().map(|name| format!("[env: {}]", name.to_string_lossy()));
    let parts = [
        help.filter(|help| !help.is_empty()),
        (!possible.is_empty()).then(|| format!("[possible values: {}]", possible.join(", "))),
        (!default.is_empty()).then(|| format!("[default: {}]", default.join(", "))),
        env,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
