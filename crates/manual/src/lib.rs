//! Help, manual pages and variables of the programs, from their definitions for clap.
//!
//! [`with_examples`] puts examples into the help of each command. [`page`] is one manual page for a whole
//! program: clap's own generator names a page for each command, and those do not exist.

mod page;

use clap::Command;

pub use page::{Section, page};

/// Heading of the options that commands share. They stand below a command's own.
pub const COMMON: &str = "Common options";

/// Command lines for each command, by the words that lead to it: empty for the program itself,
/// `user list` for a command of a command. A line of examples is a line of the text.
pub type Examples = [(&'static str, &'static str)];

/// Puts the examples of each command below its usage, before its options.
#[must_use]
pub fn with_examples(command: Command, examples: &Examples) -> Command {
    arrange(command, "", examples)
}

fn arrange(command: Command, path: &str, examples: &Examples) -> Command {
    let command = command.mut_subcommands(|sub| {
        let path = below(path, sub.get_name());
        arrange(sub, &path, examples)
    });
    match of(examples, path) {
        Some(lines) => with_lines(command, lines),
        None => command,
    }
}

fn with_lines(command: Command, lines: &str) -> Command {
    let style = *command.get_styles().get_header();
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
    let lines = lines.join("\n");
    command.help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n\
         {style}Examples:{style:#}\n{lines}\n\n{{all-args}}{{after-help}}"
    ))
}

/// The command without the variables of the environment that are empty: one that is empty counts as not set,
/// which is how files of variables and containers switch one off.
#[must_use]
pub fn without_empty(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            return argument.env(None::<&'static str>);
        }
        argument
    });
    command.mut_subcommands(without_empty)
}

/// The command with the same usage line in every refusal as in its help. The one that clap makes for a refusal holds
/// the options that were typed, as if they had to be.
#[must_use]
pub fn with_usage(mut command: Command) -> Command {
    command.build();
    with_own_usage(command)
}

fn with_own_usage(mut command: Command) -> Command {
    let style = *command.get_styles().get_usage();
    let usage = command.render_usage().ansi().to_string();
    let command = match usage.strip_prefix(&format!("{style}Usage:{style:#} ")) {
        Some(usage) => command.override_usage(usage.to_owned()),
        None => command,
    };
    command.mut_subcommands(with_own_usage)
}

/// The examples of a command.
fn of(examples: &Examples, path: &str) -> Option<&'static str> {
    examples.iter().find(|(of, _)| *of == path).map(|(_, lines)| *lines)
}

/// The words that lead to a command of a command.
fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path} {name}") }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn program() -> Command {
        let shared = Arg::new("where").long("where").global(true).help_heading(COMMON);
        let own = Arg::new("deep").long("deep").action(ArgAction::SetTrue).help("look below");
        let list = Command::new("list").about("List things").arg(own);
        let thing = Command::new("thing").about("Things").subcommand(list);
        Command::new("tool").about("A tool").arg(shared).subcommand(thing)
    }

    const EXAMPLES: &Examples =
        &[("", "tool thing list"), ("thing list", "tool thing list --deep\ntool thing list")];

    /// Goal: whoever asks for help sees how a command is used, then its own options, then the rest.
    #[test]
    fn help_has_examples_then_own_options_then_the_common_ones_once() {
        let command = with_examples(program(), EXAMPLES);
        let words = ["tool", "thing", "list", "--help"];
        let help = command.try_get_matches_from(words).unwrap_err().to_string();
        let at = |part: &str| help.find(part).unwrap_or_else(|| panic!("{part}: {help}"));
        assert!(at("Examples:\n  tool thing list --deep\n  tool thing list\n") < at("Options:"));
        assert!(at("--deep  ") < at("Common options:"), "{help}");
        assert_eq!(help.matches("Common options:").count(), 1);
        assert_eq!(help.matches("--where").count(), 1);
    }

    /// Goal: what is missing is said with the usage of the help. Before: an option that was typed stood there as if it
    /// had to be.
    #[test]
    fn a_refusal_shows_the_usage_of_the_help() {
        let data = Arg::new("data").long("data").default_value("data");
        let who = Arg::new("who").required(true);
        let delete = Command::new("delete").arg(data).arg(who);
        let user = Command::new("user").subcommand(delete);
        let tool = with_usage(Command::new("tool").subcommand(user));
        let words = ["tool", "user", "delete", "--data", "d"];
        let said = tool.try_get_matches_from(words).unwrap_err().to_string();
        assert!(said.contains("Usage: tool user delete [OPTIONS] <who>\n"), "{said}");
    }

    /// Goal: one page holds every command, and names no page that nobody made.
    #[test]
    fn the_page_holds_every_command_and_common_options_once() {
        let mut page = Vec::new();
        let rows = vec![("3".to_owned(), "gone - or not".to_owned())];
        let sections = [Section { heading: "EXIT STATUS", rows }];
        super::page(program(), EXAMPLES, &sections, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for part in
            [".SS \"tool thing list [OPTIONS]\"", "look below", "EXIT STATUS", "gone \\- or not"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(page.matches("\\-\\-where").count(), 1, "{page}");
        assert!(!page.contains("(1)"), "{page}");
    }
}
