//! How each command is used, for its help and for the manual page. Each line is a command line that works;
//! a test reads them all.

use chat_manual::Examples;

/// Examples by the words that lead to a command.
pub(super) const EXAMPLES: &Examples = &[
    (
        "",
        "\
chat-client --user alice                                  # talk, line by line
chat-client --user alice send bob \"hello\"                 # one message; `-` reads standard input
chat-client --user alice listen --for 10s --json          # what was missed, then what comes
chat-client --user alice run server -- uname -a           # a command on the server's machine
chat-client --user alice share /srv/public                # the files that keyword.txt names there
chat-client --user bob find plan                          # who shares what; get alice plan.pdf
chat-client --user alice search lunch friday              # in what was said, without a connection
chat-client --user web1 agent --policy policy.toml        # this machine accepts commands
chat-client --emulate 20 --messages messages.txt          # prove that nothing is lost",
    ),
    (
        "send",
        "\
chat-client --user alice send bob \"see you at six\"
chat-client --user alice send '#ops' \"the backup is done\"
df -h | chat-client --user web1 send alice -",
    ),
    (
        "listen",
        "\
chat-client --user alice listen --for 10s --json
chat-client --user alice listen --count 1",
    ),
    (
        "run",
        "\
chat-client --user alice run server -- uname -a
chat-client --user alice run --timeout 30s web1 -- systemctl status nginx",
    ),
    ("whoami", "chat-client --user alice whoami"),
    ("join", "chat-client --user alice join '#ops' --create"),
    ("leave", "chat-client --user alice leave '#ops'"),
    ("doctor", "chat-client --server wss://chat.example.org:9000 doctor"),
    ("users", "chat-client --user alice users --json"),
    ("rooms", "chat-client --user alice rooms"),
    ("find", "chat-client --user bob find plan budget"),
    ("files", "chat-client --user alice files"),
    (
        "share",
        "\
chat-client --user alice share /srv/public
chat-client --user alice share /srv/crew --to '#crew' --keep 7",
    ),
    (
        "get",
        "\
chat-client --user bob get alice plan.pdf
chat-client --user bob get alice plans/2026.pdf -o /tmp --wait",
    ),
    (
        "transfers",
        "\
chat-client transfers --downloads /tmp
chat-client transfers clean",
    ),
    ("transfers clean", "chat-client transfers clean --downloads /tmp"),
    (
        "passwd",
        "\
chat-client --user alice passwd
chat-client --user alice --password-file old passwd --new-password-file new",
    ),
    ("account", "chat-client --user alice account delete"),
    ("account delete", "chat-client --user alice account delete alice"),
    (
        "servers",
        "\
chat-client servers
chat-client servers forget wss://chat.example.org:9000",
    ),
    ("servers forget", "chat-client servers forget wss://chat.example.org:9000"),
    (
        "verify",
        "\
chat-client --user alice verify bob
chat-client --server wss://chat.example.org:9000 verify",
    ),
    ("trust", "chat-client --user alice trust bob"),
    ("distrust", "chat-client --user alice distrust bob"),
    (
        "devices",
        "\
chat-client --user alice devices
chat-client --user alice devices bob",
    ),
    ("devices revoke", "chat-client --user alice devices revoke 2"),
    ("key", "chat-client --user alice key rotate"),
    ("key rotate", "chat-client --user alice key rotate"),
    (
        "agent",
        "\
chat-client --user web1 agent --policy policy.toml
chat-client agent --check --policy policy.toml",
    ),
    (
        "history",
        "\
chat-client --user alice history bob --count 50
chat-client --user alice history '#ops' --json",
    ),
    ("search", "chat-client --user alice search lunch friday"),
    (
        "proof",
        "\
chat-client --user alice proof AZ8Rm0vUcUuTf1lD9wqYbQ --export proof.json
chat-client proof --verify proof.json",
    ),
    ("story", "chat-client story AZ8Rm0vU"),
    (
        "config",
        "\
chat-client config show --origin
chat-client config edit",
    ),
    ("config show", "chat-client -P work config show --origin"),
    ("config edit", "chat-client config edit"),
    ("man", "chat-client man | man -l -"),
    ("completions", "chat-client completions bash"),
];
