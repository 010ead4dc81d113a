//! The completion script of a shell: what clap makes of the definition, and the names that the home knows.

use std::io;

use clap::Command;
use clap_complete::Shell;

/// Bash: the words of clap, unless there are names.
const BASH: &str = r#"
_chat_client_names() {
    _chat-client "$@"
    local word names
    word="${COMP_WORDS[COMP_CWORD]}"
    [[ "$word" == -* ]] && return
    names="$(chat-client complete --shell bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" </dev/null 2>/dev/null)"
    [[ -n "$names" ]] && mapfile -t COMPREPLY <<<"$names"
}
complete -F _chat_client_names -o bashdefault -o default chat-client
"#;

/// Zsh: likewise.
const ZSH: &str = r#"
_chat_client_names() {
    local -a names
    if [[ "$PREFIX" != -* ]]; then
        names=("${(@f)$(chat-client complete --shell zsh -- "${(@)words[2,CURRENT]}" </dev/null 2>/dev/null)}")
        names=("${(@)names:#}")
    fi
    if (( $#names )); then compadd -a names; else _chat-client "$@"; fi
}
compdef _chat_client_names chat-client
"#;

/// Fish has all of them side by side.
const FISH: &str = "
complete -c chat-client -n '__fish_seen_subcommand_from send history run join leave get verify trust distrust devices' \
-f -a '(chat-client complete --shell fish -- (commandline -opc)[2..] (commandline -ct) </dev/null 2>/dev/null)'
";

/// Writes it.
pub(super) fn write(shell: Shell, mut command: Command, output: &mut impl io::Write) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "chat-client", &mut script);
    let names = match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        _ => "",
    };
    script.extend_from_slice(names.as_bytes());
    // A reader that has closed the pipe wants no more of it.
    drop(output.write_all(&script));
}
